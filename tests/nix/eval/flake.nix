# Stands in for the flake of nixpkgs: package sets for few systems, as there, and packages that are
# derivations, so that `nix flake check` may look at what it would build.
{
  outputs =
    _:
    let
      lib = import ./shim.nix // {
        # Of a system there is what the options come to, and something to build.
        nixosSystem =
          {
            system ? "x86_64-linux",
            modules,
          }:
          let
            evaluated = lib.evalModules {
              modules = [ ./nixos.nix ] ++ modules;
              specialArgs.pkgs = packages system;
            };
          in
          {
            config = evaluated.config // {
              system.build.toplevel = derivation {
                inherit system;
                name = "nixos-system";
                builder = "/bin/sh";
                units = toString (map (p: p.outPath) evaluated.config.systemd.packages);
              };
            };
          };
      };
      packages =
        system:
        let
          built =
            name: spec:
            derivation {
              inherit name system;
              builder = "/bin/sh";
            }
            // {
              inherit spec;
            };
        in
        import ./packages.nix {
          inherit lib;
          store = "/nix/store";
          others = {
            buildGoModule = spec: built "${spec.pname}-${spec.version}" spec;
            stdenv.hostPlatform.system = system;
            testers.runNixOSTest = test: built "vm-test-run-${test.name}" test;
          };
        };
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
      ] packages;
    };
}
