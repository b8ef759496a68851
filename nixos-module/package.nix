# The programs of Dubnium. The units and the configuration are made for each machine, by the
# module, with the generate-units that is in here.
{
  lib,
  stdenv,
  buildGoModule,
  # Go 1.26, where the package set's own is another.
  buildGo126Module ? buildGoModule,
  installShellFiles,
}:
let
  # The newest of the changelog, as for any tree without tags.
  version = builtins.head (
    builtins.elemAt (builtins.split "\n## ([0-9][^ \n]*)" (builtins.readFile ../docs/changelog.md)) 1
  );
  ldflags = [
    "-s"
    "-w"
    "-X github.com/ryjen/dubnium/pkg/version.Version=${version}"
  ];
  # observe-gpu loads the driver's library, and is the one program that needs cgo.
  programs = lib.subtractLists [
    "generate-docs"
    "observe-gpu"
  ] (builtins.attrNames (builtins.readDir ../cmd));
in
buildGo126Module {
  pname = "dubnium";
  inherit version ldflags;

  src = lib.fileset.toSource {
    root = ../.;
    # Without the tests, which import what is not here.
    fileset = lib.fileset.difference (lib.fileset.unions [
      ../go.mod
      ../go.sum
      ../cmd
      ../pkg
      ../docs
    ]) (lib.fileset.fileFilter (file: lib.hasSuffix "_test.go" file.name) ../pkg);
  };
  # Of the folder that `go mod vendor` makes of that; scripts/nix/vendor-hash writes it.
  vendorHash = lib.fileContents ./vendor-hash;

  subPackages = map (name: "cmd/${name}") programs;
  env.CGO_ENABLED = 0;
  # With immediate binding observe-gpu would die before main where there is no driver.
  hardeningDisable = [ "bindnow" ];
  postBuild = ''
    CGO_ENABLED=1 go install -trimpath -ldflags ${
      lib.escapeShellArg (lib.concatStringsSep " " (ldflags ++ [ "-extldflags=-Wl,-z,lazy" ]))
    } ./cmd/observe-gpu
  '';

  # The tests boot machines; the project's own CI runs them.
  doCheck = false;
  nativeBuildInputs = [ installShellFiles ];
  postInstall = ''
    mkdir -p $out/libexec/dubnium
    mv $out/bin/generate-units $out/libexec/dubnium/
    rm docs/man/man8/generate-docs.8
    installManPage docs/man/man*/*
    installShellCompletion --bash docs/completions/bash/* \
      --fish docs/completions/fish/* --zsh docs/completions/zsh/*
    install -D -m 644 docs/dubnium.toml.example $out/share/dubnium/dubnium.toml.example
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck
    if $READELF --dynamic $out/bin/observe-gpu | grep -E 'BIND_NOW|\bNOW\b'; then
      echo "observe-gpu is bound when it starts: it would die where there is no NVIDIA driver" >&2
      exit 1
    fi
    $out/bin/mode --version
    $out/libexec/dubnium/generate-units --output $TMPDIR/units --complete
    runHook postInstallCheck
  '';

  meta = {
    description = "One machine as a desktop, an audio studio or a compute node, with guarded ways between them";
    homepage = "https://github.com/ryjen/dubnium";
    mainProgram = "mode";
    platforms = lib.platforms.linux;
  };
}
