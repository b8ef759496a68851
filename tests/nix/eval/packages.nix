# Stands in for a package set: what the module takes from one, with paths below a folder of the
# test's own in the place of the store. Nothing is built; the test runs the commands itself. As in
# a real one, a text with such a path knows of it: it can't become the name of anything.
{
  lib,
  store,
  # What is another in the set at hand.
  others ? { },
}:
let
  derivation = name: more: {
    type = "derivation";
    inherit name;
    outPath = known "${store}/${name}";
    drvPath = known "${store}/${name}.drv";
  } // more;
  known = path: builtins.appendContext path { "${builtins.storeDir}/00000000000000000000000000000000-stand-in".path = true; };
  plain = name: derivation name { };
  value =
    with lib.types;
    oneOf [
      bool
      int
      float
      str
      (attrsOf value)
      (listOf value)
    ];
  pkgs = {
    inherit lib;
    callPackage =
      file: given:
      let
        f = import file;
      in
      f (builtins.intersectAttrs (builtins.functionArgs f) pkgs // given);
    buildGoModule = spec: derivation spec.pname { inherit spec; };
    installShellFiles = plain "install-shell-files";
    formats.toml = _: {
      type = value;
      generate = name: v: derivation name { value = builtins.toJSON v; };
    };
    runCommandLocal = name: inputs: buildCommand: derivation name { inherit inputs buildCommand; };
    # In nixpkgs, too, the names become those of attributes.
    linkFarm = name: entries: derivation name {
      entries = builtins.attrValues (
        builtins.listToAttrs (map (e: { inherit (e) name; value = e; }) entries)
      );
    };
    coreutils = plain "coreutils";
    systemd = plain "systemd";
    stdenv.cc = derivation "gcc-wrapper" { cc = plain "gcc-lib"; };
    zlib = plain "zlib";
    uv = plain "uv";
    postgresql = derivation "postgresql" {
      withPackages = choose: derivation "postgresql-with-${builtins.head (choose { pgvector = "pgvector"; })}" { };
    };
    python312 = derivation "python3" { sitePackages = "lib/python3.12/site-packages"; };
    writeShellScriptBin = name: _: plain name;
    python3 = plain "python3";
    # For the cases.
    vllm = plain "vllm";
    planoai = plain "planoai";
  }
  // others;
in
pkgs
