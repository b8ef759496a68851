# The options of NixOS that the module sets or reads, and no others, with as much of what they
# come to as the tests look at: the units' texts. What NixOS does with the rest of them is not
# here.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  opt =
    type: default:
    mkOption {
      inherit type default;
    };
  anything = types.attrsOf types.raw;
  strings = types.listOf types.str;
  startable = {
    wantedBy = opt strings [ ];
    overrideStrategy = opt (types.enum [ "asDropin" "asDropinIfExists" ]) "asDropinIfExists";
  };
  unit = more: opt (types.attrsOf (types.submodule { options = startable // more; })) { };
  enable = opt types.bool false;

  serviceText =
    s:
    "[Unit]\n\n[Service]\n"
    + lib.concatMapStringsSep "" (n: "Environment=${builtins.toJSON "${n}=${s.environment.${n}}"}\n") (builtins.attrNames s.environment)
    + lib.optionalString (!s.restartIfChanged) "X-RestartIfChanged=false\n";
  rendered =
    suffix: text: set:
    lib.mapAttrs' (
      name: u:
      lib.nameValuePair (name + suffix) {
        inherit (u) wantedBy overrideStrategy;
        text = text u;
      }
    ) set;
in
{
  options = {
    assertions = opt (types.listOf (types.submodule {
      options.assertion = mkOption { type = types.bool; };
      options.message = mkOption { type = types.str; };
    })) [ ];
    warnings = opt strings [ ];

    environment.systemPackages = opt (types.listOf types.package) [ ];
    environment.etc = opt (types.attrsOf (types.submodule { options.source = mkOption { type = types.path; }; })) { };

    networking.firewall.enable = opt types.bool true;
    networking.firewall.allowedTCPPorts = opt (types.listOf types.port) [ ];
    networking.firewall.interfaces = opt (types.attrsOf (types.submodule {
      options.allowedTCPPorts = opt (types.listOf types.port) [ ];
    })) { };
    networking.hosts = opt (types.attrsOf strings) { };

    security.polkit.enable = enable;

    services.displayManager.enable = enable;
    services.greetd.enable = enable;
    services.k3s.enable = enable;
    services.openssh.enable = enable;
    services.postgresql.enable = enable;
    services.postgresql.extensions = opt types.raw (_: [ ]);
    services.redis.servers = opt (types.attrsOf (types.submodule { options.enable = enable; })) { };
    services.tailscale.enable = enable;
    services.tailscale.interfaceName = opt types.str "tailscale0";

    system.stateVersion = opt types.str "25.11";
    boot.isContainer = enable;
    networking.hostName = opt types.str "nixos";

    systemd.packages = opt (types.listOf types.package) [ ];
    systemd.tmpfiles.packages = opt (types.listOf types.package) [ ];
    systemd.tmpfiles.rules = opt strings [ ];
    specialisation = opt anything { };
    systemd.services = unit {
      environment = opt (types.attrsOf types.str) { };
      restartIfChanged = opt types.bool true;
    };
    systemd.sockets = unit { };
    systemd.timers = unit { };
    systemd.units = opt anything { };

    users.groups = opt (types.attrsOf (types.submodule { options.members = opt strings [ ]; })) { };
    users.users = opt (types.attrsOf (types.submodule {
      options = {
        description = opt types.str "";
        extraGroups = opt strings [ ];
        group = opt types.str "";
        home = opt types.str "";
        initialHashedPassword = opt types.str "";
        isNormalUser = enable;
        isSystemUser = enable;
      };
    })) { };
  };

  config.networking.firewall.allowedTCPPorts = lib.optional config.services.openssh.enable 22;
  config.systemd.units =
    rendered ".service" serviceText config.systemd.services
    // rendered ".socket" (_: "[Unit]\n\n[Socket]\n") config.systemd.sockets
    // rendered ".timer" (_: "[Unit]\n\n[Timer]\n") config.systemd.timers;
}
