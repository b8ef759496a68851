package docgen

import "github.com/ryjen/dubnium/pkg/config"

// integration lists the options of the NixOS module that are no keys of the
// configuration, and the keys that NixOS has another type or default for.
// What they do is in nixos-module/default.nix.
func integration() []nixOption {
	return []nixOption{
		{Path: "enable", Type: nixBool, Default: false, Example: true, Doc: "Whether this machine has Dubnium: the modes with their units and guards, the tools, and the group of the operators. The workloads (vLLM, Plano, k3s, the memory service) each have an `enable` of their own."},
		{Path: "package", Type: nixPackage, DefaultText: "`pkgs.callPackage ./package.nix { }`", Doc: "The package with the programs. The units are rendered by it, for this machine's configuration, when the system is built."},
		{Path: "settings", Type: nixSettings, Default: map[string]any{}, DefaultText: "`{ }`", Doc: "What `" + config.DefaultPath + "` holds. Each option that is a key defines its value here, with a low priority. Set a key here that the module has no option for, such as one of a newer package."},
		{Path: "operators", Type: nixStrings, Default: []string{}, Example: []string{"alice"}, Doc: "Users who may ask for a mode without being root, and use the memory service: the members of the group `" + config.OperatorsGroup + "`."},
		{Path: "user.name", Type: nixOptionalString, Example: "alice", Doc: "The person whose machine this is: a normal user, who is an operator. How that user logs in, and may become root, is left to `users.users`."},
		{Path: "user.description", Type: nixString, Empty: true, Default: "", Example: "Example User", Doc: "The full name that goes with `dubnium.user.name`."},

		{Path: "profiles.workstation.enable", Type: nixBool, Default: false, Example: true, Doc: "Defaults for a machine with a desktop: it starts in desktop mode and has Tailscale. Workloads stay off until they are enabled."},
		{Path: "profiles.wsl.enable", Type: nixBool, Default: false, Example: true, Doc: "Defaults for a distribution below Windows: no desktop, compute as the mode, no audio work, and every heavy service off. It lies on a base such as NixOS-WSL and does not bring one."},

		{Path: "desktop.loginUnits", Type: nixStrings, DefaultText: "`[ \"greetd.service\" ]` or `[ \"display-manager.service\" ]`, whichever this configuration enables, or `[ ]`", Example: []string{"greetd.service"}, Doc: "The units that make logging in possible, a display manager as a rule. They are stopped first on the way to compute, in this order, and started last on the way back. An empty list means that a person logs in on a console and starts the compositor."},

		{Path: "vllm.package", Type: nixOptionalPackage, Doc: "The package with `bin/vllm`, for `dubnium.vllm.runtime = \"package\"`. Building one compiles CUDA and PyTorch unless a binary cache has it."},
		{Path: "vllm.python", Type: nixPackage, DefaultText: "`pkgs.python312`", Doc: "The interpreter that the environment of the external runtime was made with. It is kept on the system, at /run/current-system/sw/bin, and says where the environment has its libraries."},
		{Path: "vllm.ldLibraryPath", Type: nixStrings, DefaultText: "the driver, the C++ runtime and the libraries of PyTorch and CUDA in the environment", Example: []string{"/run/opengl-driver/lib"}, Doc: "`LD_LIBRARY_PATH` of the external runtime, whose wheels know nothing of the Nix store."},
		{Path: "vllm.exposeOnTailscale", Type: nixBool, Default: false, Example: true, Doc: "Whether other machines of the tailnet reach vLLM. It then listens on every address, and the firewall lets its port through on the tailnet's interface alone. vLLM asks nobody who they are."},
		{Path: "vllm.hostAlias", Type: nixOptionalString, Default: "ai.dubnium", Example: "llm.local", Doc: "A name for this machine's vLLM, in this machine's hosts file while vLLM is enabled."},

		{Path: "plano.package", Type: nixOptionalPackage, Doc: "The package with `bin/planoai`, for `dubnium.plano.runtime = \"package\"`."},
		{Path: "plano.externalExecutable", Type: nixOptionalString, Example: "/var/lib/plano/venv/bin/planoai", Doc: "The program of the external runtime, as another way to say `dubnium.plano.runtimePath`: it has to be that folder's `bin/planoai`."},
		{Path: "plano.exposeOnTailscale", Type: nixBool, Default: false, Example: true, Doc: "Whether other machines of the tailnet reach the gateway, as with `dubnium.vllm.exposeOnTailscale`. The gateway asks nobody who they are."},

		{Path: "memory.database.createLocally", Type: nixBool, Default: true, Example: false, Doc: "Whether the memories are in this machine's Postgres, `services.postgresql` with pgvector. With false they are in a private cluster of the service, or in the database of `dubnium.memory.database.dsn` or `dsnFile`."},
		{Path: "memory.database.name", Type: nixString, Enum: []string{"dubnium_memory"}, Default: "dubnium_memory", Example: "dubnium_memory", Doc: "The database that dubnium-memory-database.service makes in this machine's Postgres. It has this name and no other; a database of another name is given by `dubnium.memory.database.dsn`."},
		{Path: "memory.database.user", Type: nixString, Enum: []string{"dubnium-memory"}, Default: "dubnium-memory", Example: "dubnium-memory", Doc: "The role that owns it: that of the system's user of the same name, whom Postgres knows by its socket."},
		{Path: "memory.redis.enable", Type: nixBool, Default: true, Example: false, Doc: "Whether embedding work goes through a Redis of this machine, `services.redis.servers.dubnium-memory`. Without it the workers take the work from the database."},
		{Path: "memory.retention.defaultTtlDays", Type: nixOptionalInt, Max: 36500, Example: 365, Doc: "Days after which a memory that was stored without a TTL expires; null is never."},

		{Path: "tailscale.enable", Type: nixBool, Default: false, Example: true, Doc: "Whether this machine has Tailscale. It is enrolled by hand, once: `sudo tailscale up`."},

		{Path: "secrets.defaultSopsFile", Type: nixOptionalPath, Doc: "The encrypted file of sops-nix, whose module has to be imported beside this one. Secrets are decrypted at activation into files that services read when they start; name those files in `environmentFiles`, `dsnFile` and `apiKeyFile`."},
		{Path: "secrets.ageKeyFile", Type: nixString, Default: "/var/lib/sops-nix/key.txt", Example: "/persist/sops-nix/key.txt", Doc: "Where this machine keeps its age identity. It is made by hand and never leaves the machine."},
	}
}
