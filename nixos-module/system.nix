# The units, the configuration file, and who may use what.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkIf;
  cfg = config.dubnium;
  wanted = (builtins.fromJSON (builtins.readFile ./options.json)).wanted;

  configFile = (pkgs.formats.toml { }).generate "dubnium.toml" cfg.settings;

  # The programs of others that units run.
  program = package: name: {
    inherit name;
    path = "${package}/bin/${name}";
  };
  programs = pkgs.linkFarm "dubnium-programs" (
    [
      (program pkgs.systemd "systemctl")
      (program pkgs.coreutils "head")
      (program pkgs.coreutils "rm")
      (program pkgs.coreutils "true")
    ]
    ++ lib.optional (cfg.vllm.package != null) (program cfg.vllm.package "vllm")
    ++ lib.optional (cfg.plano.package != null) (program cfg.plano.package "planoai")
  );

  # Every unit for this machine's configuration. A configuration that the programs don't take
  # fails here, with the line and the key.
  units = pkgs.runCommandLocal "dubnium-units" { inherit configFile programs; } ''
    ${cfg.package}/libexec/dubnium/generate-units --complete --config "$configFile" \
      --bindir ${cfg.package}/bin --programs "$programs" --output units
    mkdir -p $out/lib/systemd $out/share
    mv units/sysusers.d units/tmpfiles.d $out/lib
    mv units/polkit-1 $out/share
    mv units $out/lib/systemd/system
  '';

  # NixOS makes no link of an [Install] section, so what starts by itself is said once more. A
  # unit that options.json has and this list has not is an error.
  usesWorker =
    cfg.settings.memory.embeddings.provider != "none"
    && (cfg.settings.memory.redis.url != "" || cfg.settings.memory.embeddings.provider != "builtin");
  starts = {
    "mode-boot.service" = true;
    "mode-observe.service" = true;
    "mode-observe.timer" =
      cfg.metrics.textfile != ""
      && !lib.elem cfg.metrics.interval [
        "0"
        "0s"
      ];
    "mode-idle.service" = cfg.idle.enable;
    "vllm.service" = cfg.vllm.enable && cfg.vllm.unit == "vllm.service";
    "plano.service" = cfg.plano.enable;
    "dubnium-memory-api.socket" = cfg.memory.enable;
    "dubnium-memory-api.service" = cfg.memory.enable;
    "dubnium-memory-expire.timer" = cfg.memory.enable;
    "dubnium-embed-worker.service" = cfg.memory.enable && usesWorker;
  };
  # started gives the units of one kind that start by themselves, by their name without suffix.
  started =
    suffix:
    lib.mapAttrs' (name: targets: lib.nameValuePair (lib.removeSuffix suffix name) { wantedBy = targets; })
      (
        lib.filterAttrs (
          name: _:
          lib.hasSuffix suffix name
          && (starts.${name} or (throw "dubnium: nixos-module/system.nix does not say when ${name} starts"))
        ) wanted
      );

  vllmName = lib.removeSuffix ".service" cfg.vllm.unit;
in
{
  config = mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."dubnium/dubnium.toml".source = configFile;
    environment.etc."polkit-1/rules.d/50-dubnium.rules".source =
      "${units}/share/polkit-1/rules.d/50-dubnium.rules";
    security.polkit.enable = true;

    systemd.packages = [ units ];
    systemd.tmpfiles.packages = [ units ];
    systemd.sockets = started ".socket";
    systemd.timers = started ".timer";
    systemd.services = lib.mkMerge [
      (started ".service")
      {
        # A rebuild leaves these alone: a transition under way, what the last one decided, and
        # the model that took minutes to load. They have what is new at their next start. The
        # targets of the modes say the same for themselves (X-OnlyManualStart, in their files).
        "mode-controller@".restartIfChanged = false;
        mode-boot.restartIfChanged = false;
        studio-local-policy.restartIfChanged = false;
        audio-priority.restartIfChanged = false;
      }
      (mkIf cfg.vllm.enable {
        ${vllmName}.restartIfChanged = false;
      })
      # A unit of another maker is wanted by what ours would be.
      (mkIf (cfg.vllm.enable && cfg.vllm.unit != "vllm.service") {
        ${vllmName} = {
          wantedBy = wanted."vllm.service";
        }
        # Of a template's instance there is no file, only the template's.
        // lib.optionalAttrs (lib.hasInfix "@" vllmName) { overrideStrategy = "asDropin"; };
      })
    ];

    # NixOS reads no sysusers.d of packages.
    users.groups.dubnium.members =
      cfg.operators
      ++ lib.optional (cfg.user.name != null && !lib.elem cfg.user.name cfg.operators) cfg.user.name;
    users.groups.dubnium-memory = { };
    users.users = lib.mkMerge [
      {
        dubnium-memory = {
          isSystemUser = true;
          group = "dubnium-memory";
          home = "/var/lib/dubnium-memory";
          description = "Dubnium memory service";
        };
      }
      (mkIf (cfg.user.name != null) {
        ${cfg.user.name} = {
          isNormalUser = true;
          description = cfg.user.description;
        };
      })
    ];
  };
}
