# What cannot be together, each with the full names of the options. The reader of the file holds
# most of it too, when the system is built; here it is said before anything is.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.dubnium;
  hardware = cfg.hardware;
  firewall = config.networking.firewall;

  show = list: "[ ${lib.concatMapStringsSep " " toString list} ]";
  loopback = host: lib.elem host [
    "127.0.0.1"
    "::1"
    "localhost"
  ];

  present = option: gpus: {
    assertion = lib.all (gpu: lib.elem gpu hardware.presentGpus) gpus;
    message = "dubnium.hardware.${option} names GPUs that are not in dubnium.hardware.presentGpus, which is ${show hardware.presentGpus}: ${
      show (lib.subtractLists hardware.presentGpus gpus)
    }. Add them there, or leave them out here.";
  };

  # What a server that takes requests from others has to keep.
  server =
    name:
    let
      s = cfg.${name};
      option = "dubnium.${name}";
      exposed = s.enable && s.exposeOnTailscale;
    in
    [
      {
        assertion = s.enable && s.runtime == "package" -> s.package != null;
        message = "${option}.runtime is \"package\", and ${option}.package is not set. Set it, or let ${option}.runtime be \"external\".";
      }
      {
        assertion = exposed -> config.services.tailscale.enable;
        message = "${option}.exposeOnTailscale is set, and this machine has no Tailscale. Set dubnium.tailscale.enable.";
      }
      {
        assertion = exposed -> !loopback s.host;
        message = "${option}.exposeOnTailscale is set, and ${option}.host is ${s.host}, which no other machine reaches. Leave ${option}.host out.";
      }
      {
        assertion = exposed -> firewall.enable;
        message = "${option}.exposeOnTailscale is set, and networking.firewall.enable is false: the port would be open on every interface. Enable the firewall.";
      }
      {
        assertion = s.enable -> !lib.elem s.port firewall.allowedTCPPorts;
        message = "networking.firewall.allowedTCPPorts opens ${option}.port (${toString s.port}) on every interface. Take it out; ${option}.exposeOnTailscale opens it on the tailnet's alone.";
      }
    ];

  # Files with secrets are read at run time. One in the store is readable by everyone.
  secret = option: path: {
    assertion = !lib.hasPrefix builtins.storeDir (lib.removePrefix "-" path);
    message = "dubnium.${option} is in the Nix store, which everyone may read: ${path}. Name a file that is there at run time, such as one of sops-nix below /run/secrets.";
  };

  # The programs refuse a password where everyone may read it, but only when the file is made, and
  # so is in the store.
  password = option: value: {
    assertion = builtins.match ".*://[^/@]*:[^/@]*@.*" value == null && !lib.hasInfix "password" value;
    message = "dubnium.${option} holds a password, and what is configured is in the Nix store, which everyone may read. Put it into a file that is there at run time.";
  };
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      (present "displayGpu" (lib.optional (hardware.displayGpu != null) hardware.displayGpu))
      (present "desktopAiGpus" hardware.desktopAiGpus)
      (present "computeGpus" hardware.computeGpus)
      {
        assertion =
          hardware.plannedGpuCount == 0
          || builtins.length hardware.presentGpus <= hardware.plannedGpuCount;
        message = "dubnium.hardware.presentGpus lists ${toString (builtins.length hardware.presentGpus)} GPUs, and dubnium.hardware.plannedGpuCount is ${toString hardware.plannedGpuCount}. Raise the plan, or set it to 0.";
      }
      {
        assertion = !(cfg.profiles.workstation.enable && cfg.profiles.wsl.enable);
        message = "dubnium.profiles.workstation.enable and dubnium.profiles.wsl.enable are both set. A machine is one of them.";
      }
      {
        assertion = cfg.boot.defaultMode == "compute" -> cfg.capabilityPlacement.ai == "local";
        message = "dubnium.boot.defaultMode is \"compute\", and dubnium.capabilityPlacement.ai is ${cfg.capabilityPlacement.ai}: compute would be refused. Set dubnium.boot.defaultMode to \"desktop\".";
      }
      {
        assertion = cfg.vllm.enable -> cfg.vllm.model != "";
        message = "dubnium.vllm.enable is set, and dubnium.vllm.model is not. Set it to the folder of a model below /var/lib/dubnium/models.";
      }
      {
        assertion = cfg.vllm.enable && cfg.plano.enable -> cfg.vllm.port != cfg.plano.port;
        message = "dubnium.vllm.port and dubnium.plano.port are both ${toString cfg.vllm.port}. Set one of them to another.";
      }
      {
        assertion =
          cfg.plano.externalExecutable == null
          || lib.hasSuffix "/bin/planoai" cfg.plano.externalExecutable;
        message = "dubnium.plano.externalExecutable is not the bin/planoai of an environment. Set dubnium.plano.runtimePath instead, and link the program there.";
      }
      {
        assertion = loopback cfg.memory.api.host;
        message = "dubnium.memory.api.host is ${cfg.memory.api.host}, and the memory service listens on this machine alone. Write \"127.0.0.1\".";
      }
      {
        assertion =
          cfg.memory.retention.defaultTtlDays == null || cfg.memory.retention.defaultTtlDays > 0;
        message = "dubnium.memory.retention.defaultTtlDays must be positive when set. Write null for memories that never expire.";
      }
      {
        assertion = cfg.memory.database.dsn == "" || cfg.memory.database.dsnFile == "";
        message = "dubnium.memory.database.dsn and dubnium.memory.database.dsnFile are both set. With dsnFile, set dubnium.memory.database.createLocally = false.";
      }
      {
        assertion = cfg.secrets.defaultSopsFile == null || options ? sops;
        message = "dubnium.secrets.defaultSopsFile is set, and there is no sops-nix. Import sops-nix.nixosModules.sops beside this module.";
      }
      (secret "memory.database.dsnFile" cfg.memory.database.dsnFile)
      (secret "memory.embeddings.apiKeyFile" cfg.memory.embeddings.apiKeyFile)
      (password "memory.database.dsn" cfg.memory.database.dsn)
      (password "memory.redis.url" cfg.memory.redis.url)
      (password "memory.embeddings.url" cfg.memory.embeddings.url)
      (password "plano.localBaseUrl" cfg.plano.localBaseUrl)
    ]
    ++ map (secret "vllm.environmentFiles") cfg.vllm.environmentFiles
    ++ map (secret "plano.environmentFiles") cfg.plano.environmentFiles
    ++ server "vllm"
    ++ server "plano";

    warnings =
      lib.optional (cfg.vllm.enable && hardware.presentGpus != [ ] && hardware.computeGpus == [ ])
        "dubnium.vllm.enable is set, and dubnium.hardware.computeGpus is empty: vLLM is not told which of the GPUs it may use."
      ++
        lib.optional (cfg.vllm.enable && cfg.capabilityPlacement.ai != "local")
          "dubnium.vllm.enable is set, and dubnium.capabilityPlacement.ai is ${cfg.capabilityPlacement.ai}: compute, in which vLLM runs, is refused.";
  };
}
