{
  description = "Dubnium: one machine as a desktop, an audio studio or a compute node";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      each = f: nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: f nixpkgs.legacyPackages.${system});
      # host is a machine with the module and a file of ours.
      host =
        file:
        nixpkgs.lib.nixosSystem {
          system = "x86_64-linux";
          modules = [
            self.nixosModules.default
            file
          ];
        };
    in
    {
      packages = each (pkgs: rec {
        dubnium = pkgs.callPackage ./package.nix { };
        default = dubnium;
      });
      overlays.default = final: _: { dubnium = final.callPackage ./package.nix { }; };
      # By its file, so that it counts once where two import it.
      nixosModules.default.imports = [ ./default.nix ];

      checks = each (pkgs: {
        package = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
        machine = pkgs.testers.runNixOSTest (import ./machine-test.nix);
      });

      # To try it: nixos-container create dubnium --flake ./nixos-module#container
      nixosConfigurations.container = host ./examples/container.nix;
    };
}
