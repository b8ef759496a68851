# Evaluates cases, each a module beside Dubnium's, and gives what each of them comes to.
#   cases: a folder of NAME.nix; only: the names to evaluate; store: a folder for what is "built"
#   lib: nixpkgs' lib, or null for the shim; nixpkgs: a whole NixOS, or null for the stub of it
#   systems: give what a rebuild would build, too (of a whole NixOS)
{
  cases,
  only,
  store,
  lib ? null,
  nixpkgs ? null,
  systems ? false,
}:
let
  theLib =
    if nixpkgs != null then
      import (/. + nixpkgs + "/lib")
    else if lib != null then
      import (/. + lib)
    else
      import ./shim.nix;
  stand-ins = import ./packages.nix {
    lib = theLib;
    inherit store;
  };

  # A whole NixOS has names of its own for the machine, and packages where it has any.
  whole =
    module:
    import (/. + nixpkgs + "/nixos/lib/eval-config.nix") {
      system = "x86_64-linux";
      modules = [
        ../../../nixos-module/default.nix
        module
        {
          # Packages of the cases that there may not be.
          nixpkgs.overlays = [
            (final: _: {
              vllm = final.hello;
              planoai = final.hello;
            })
          ];
          boot.loader.grub.enable = false;
          fileSystems."/" = {
            device = "none";
            fsType = "tmpfs";
          };
          system.stateVersion = theLib.mkDefault "25.11";
        }
      ];
    };
  stubbed =
    module:
    theLib.evalModules {
      modules = [
        ./nixos.nix
        ../../../nixos-module/default.nix
        module
      ];
      specialArgs.pkgs = stand-ins;
    };

  ours = name: builtins.match "(mode|dubnium|vllm|plano|studio|audio|k3s|room)[-@.].*" name != null;
  named = set: theLib.filterAttrs (name: _: ours name) set;
  pick = names: set: theLib.genAttrs (builtins.filter (n: set ? ${n}) names) (n: set.${n});
  describe = drv: {
    inherit (drv) name;
    path = drv.outPath;
    command = drv.buildCommand or null;
    # What the command is given, by the names of its variables.
    inputs = builtins.mapAttrs (_: input: {
      path = input.outPath;
      value = input.value or "";
      links = input.entries or [ ];
    }) (drv.inputs or { });
  };
  isOurs = drv: theLib.hasPrefix "dubnium" (drv.name or "");

  result =
    name:
    let
      config = ((if nixpkgs != null then whole else stubbed) (/. + cases + "/${name}.nix")).config;
    in
    {
      inherit (config.dubnium) settings enable;
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
      warnings = builtins.filter (theLib.hasPrefix "dubnium") config.warnings;
      units = builtins.mapAttrs (_: u: {
        inherit (u) text wantedBy overrideStrategy;
      }) (named config.systemd.units);
      packages = map describe (builtins.filter isOurs config.systemd.packages);
      tmpfiles = map (d: d.name) (builtins.filter isOurs config.systemd.tmpfiles.packages);
      tools = map (d: d.name or "") (builtins.filter (d: builtins.elem (d.pname or d.name or "") [ "dubnium" "python3" "uv" ]) config.environment.systemPackages);
      etc = builtins.mapAttrs (_: e: "${e.source}") (
        pick [
          "dubnium/dubnium.toml"
          "polkit-1/rules.d/50-dubnium.rules"
        ] config.environment.etc
      );
      groups = builtins.mapAttrs (_: g: { inherit (g) members; }) (
        pick [
          "dubnium"
          "dubnium-memory"
        ] config.users.groups
      );
      users =
        builtins.mapAttrs
          (_: u: {
            inherit (u)
              description
              extraGroups
              group
              home
              isNormalUser
              isSystemUser
              ;
          })
          (
            pick [
              "alice"
              "dubnium-memory"
            ] config.users.users
          );
      network = {
        ports = config.networking.firewall.allowedTCPPorts;
        tailnet = (config.networking.firewall.interfaces.tailscale0 or { allowedTCPPorts = [ ]; }).allowedTCPPorts;
        aliases = config.networking.hosts."127.0.0.1" or [ ];
      };
      services = {
        k3s = config.services.k3s.enable;
        polkit = config.security.polkit.enable;
        postgresql = config.services.postgresql.enable;
        redis = config.services.redis.servers ? dubnium-memory;
        tailscale = config.services.tailscale.enable;
      };
      system = if systems then builtins.unsafeDiscardStringContext config.system.build.toplevel.drvPath else "";
      sops = theLib.optionalAttrs (config ? sops) { file = toString config.sops.defaultSopsFile; key = config.sops.age.keyFile; };
    };
in
theLib.genAttrs only result
