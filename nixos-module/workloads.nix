# What the workloads need of the rest of NixOS: databases, the tailnet, the firewall, libraries.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkIf;
  cfg = config.dubnium;
  external = cfg.vllm.enable && cfg.vllm.runtime == "external" && cfg.vllm.unit == "vllm.service";

  exposed =
    lib.optional (cfg.vllm.enable && cfg.vllm.exposeOnTailscale) cfg.vllm.port
    ++ lib.optional (cfg.plano.enable && cfg.plano.exposeOnTailscale) cfg.plano.port;
  local = cfg.memory.enable && cfg.memory.database.createLocally;
  private =
    cfg.memory.enable && cfg.memory.database.dsn == "" && cfg.memory.database.dsnFile == "";
  queue = cfg.memory.enable && cfg.memory.redis.enable;
in
{
  config = mkIf cfg.enable (
    lib.mkMerge [
      {
        dubnium.vllm.host = mkIf cfg.vllm.exposeOnTailscale (mkDefault "0.0.0.0");
        dubnium.plano.host = mkIf cfg.plano.exposeOnTailscale (mkDefault "0.0.0.0");
        dubnium.plano.runtimePath = mkIf (cfg.plano.externalExecutable != null) (
          lib.removeSuffix "/bin/planoai" cfg.plano.externalExecutable
        );
        dubnium.memory.database.dsn = mkIf local (
          mkDefault "postgresql:///${cfg.memory.database.name}?host=/run/postgresql"
        );
        dubnium.memory.database.unit = mkIf local (mkDefault "postgresql.service");
        dubnium.memory.database.programs = mkIf private (
          mkDefault "${pkgs.postgresql.withPackages (ps: [ ps.pgvector ])}/bin"
        );
        dubnium.memory.redis.url = mkIf queue (mkDefault "unix:///run/redis-dubnium-memory/redis.sock");
        dubnium.memory.redis.unit = mkIf queue (mkDefault "redis-dubnium-memory.service");
      }

      (mkIf external {
        # The environment is made by hand; its interpreter is this system's.
        environment.systemPackages = [
          cfg.vllm.python
          pkgs.uv
        ];
        systemd.services.vllm.environment = {
          LD_LIBRARY_PATH = lib.concatStringsSep ":" cfg.vllm.ldLibraryPath;
          # Triton compiles a helper when the server starts, and looks for the driver by itself.
          CC = "${pkgs.stdenv.cc}/bin/cc";
          TRITON_LIBCUDA_PATH = "/run/opengl-driver/lib";
        };
      })
      (mkIf (cfg.vllm.enable && cfg.vllm.hostAlias != null) {
        networking.hosts."127.0.0.1" = [ cfg.vllm.hostAlias ];
      })
      (mkIf (exposed != [ ]) {
        networking.firewall.interfaces.${config.services.tailscale.interfaceName}.allowedTCPPorts = exposed;
      })

      (mkIf cfg.tailscale.enable { services.tailscale.enable = true; })
      (mkIf cfg.k3s.enable { services.k3s.enable = mkDefault true; })

      (mkIf local {
        services.postgresql.enable = true;
        services.postgresql.extensions = ps: [ ps.pgvector ];
      })
      (mkIf queue {
        services.redis.servers.dubnium-memory.enable = true;
        # Its socket is its group's.
        users.users.dubnium-memory.extraGroups = [ "redis-dubnium-memory" ];
      })

      # Only where sops-nix is imported are there options of it.
      (lib.optionalAttrs (options ? sops) {
        sops = mkIf (cfg.secrets.defaultSopsFile != null) {
          defaultSopsFile = cfg.secrets.defaultSopsFile;
          age.keyFile = mkDefault cfg.secrets.ageKeyFile;
        };
      })
    ]
  );
}
