package config

// Plano is the gateway that routes requests between models. It is a workload
// of compute mode, like vLLM, and off unless somebody wants it.
type Plano struct {
	Enable           bool
	Runtime          Runtime
	RuntimePath      string // of the external runtime
	Host             string
	Port             int
	LocalBaseURL     string // of the model of this machine
	ConfigFile       string // absolute; empty: one that knows the model of this machine alone
	ExtraArgs        []string
	EnvironmentFiles []string // absolute; a leading "-" allows the file to be absent
}

// Program is the program of the external runtime; false for a runtime whose
// program the distribution places.
func (p Plano) Program() (string, bool) {
	if p.Runtime != RuntimeExternal {
		return "", false
	}
	return p.RuntimePath + "/bin/planoai", true
}

// K3s is the cluster beside the modes: it stays up in all of them.
type K3s struct {
	Enable bool
	Unit   string
}

func defaultPlano() Plano {
	return Plano{
		Runtime: RuntimeExternal, RuntimePath: "/var/lib/plano/venv",
		Host: "127.0.0.1", Port: 12000, LocalBaseURL: "http://127.0.0.1:8000/v1",
		ExtraArgs: []string{}, EnvironmentFiles: []string{},
	}
}

func planoKeys() []definition {
	return []definition{
		{path: "plano.enable", at: func(c *Config) any { return &c.Plano.Enable }, example: "true", doc: "Whether compute mode starts the gateway."},
		{path: "plano.runtime", at: func(c *Config) any { return &c.Plano.Runtime }, enum: []string{string(RuntimeExternal), string(RuntimePackage)}, example: `"package"`, doc: "Where the program comes from: \"external\" is a virtual environment at plano.runtimePath that the operator keeps; \"package\" is the distribution's package."},
		{path: "plano.runtimePath", at: func(c *Config) any { return &c.Plano.RuntimePath }, check: wrongPath, allowed: "an absolute path", example: `"/opt/plano"`, doc: "The virtual environment of the external runtime; bin/planoai below it is run. A program that is not there fails the start with its path, and nothing is run in its place."},
		{path: "plano.host", at: func(c *Config) any { return &c.Plano.Host }, check: wrongHost, allowed: "an IP address or a host name", example: `"0.0.0.0"`, doc: "The address that the gateway listens on. It asks nobody who they are: anything but a loopback address is open to the network as far as the firewall lets it be."},
		{path: "plano.port", at: func(c *Config) any { return &c.Plano.Port }, min: 1, max: 65535, example: "12001", doc: "The TCP port that the gateway listens on."},
		{path: "plano.localBaseUrl", at: func(c *Config) any { return &c.Plano.LocalBaseURL }, private: true, check: wrongURL("plano.environmentFiles"), allowed: "an http or https URL without a password", example: `"http://127.0.0.1:11434/v1"`, doc: "The endpoint of this machine's model, with OpenAI's protocol: vLLM's, unless another server is meant."},
		{path: "plano.configFile", at: func(c *Config) any { return &c.Plano.ConfigFile }, empty: true, check: wrongPath, allowed: "an absolute path", example: `"/etc/dubnium/plano.yaml"`, doc: "The gateway's own configuration, for more models and routes. plano.host, plano.port and plano.localBaseUrl are then what it says. Empty makes one that knows the model of this machine alone, so that no request leaves it."},
		{path: "plano.extraArgs", at: func(c *Config) any { return &c.Plano.ExtraArgs }, empty: true, repeat: true, example: `["--with-tracing"]`, doc: "More arguments of planoai up, one an item, given to it as they are: no shell reads them."},
		{path: "plano.environmentFiles", at: func(c *Config) any { return &c.Plano.EnvironmentFiles }, empty: true, check: wrongEnvironmentFile, allowed: "absolute paths, with \"-\" before one that may be absent", example: `["/run/secrets/plano.env"]`, doc: "Files with environment variables for the gateway, read by systemd when it starts: the keys of cloud providers belong here."},

		{path: "k3s.enable", at: func(c *Config) any { return &c.K3s.Enable }, example: "true", doc: "Whether this machine has k3s, which then runs in platform.slice. It is neither started nor stopped by a mode: all that a mode changes is the budget of the slice. What runs already moves at its next start. Pods are where the kubelet puts them; its argument cgroup-root decides about that."},
		{path: "k3s.unit", at: func(c *Config) any { return &c.K3s.Unit }, check: wrongUnit(".service"), allowed: "the name of a .service unit", example: `"k3s-agent.service"`, doc: "The unit that runs k3s."},
	}
}
