package units

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/unitfile"
)

const (
	planoService = "plano.service"
	planoBurst   = 3
	// planoConfig is the name of the made configuration among the service's
	// credentials.
	planoConfig = "plano_config.yaml"
)

// plano is the gateway between clients and models. It fails closed: without
// its program, or without its configuration, nothing listens on its port.
func plano(cfg config.Config, p Paths) Unit {
	c := cfg.Plano
	program, external := c.Program()
	if !external {
		program = p.Plano
	}
	service := []entry{
		set("Type", text("exec"), "A missing program fails the start, with its path in the message."),
	}
	command := unitfile.Exec{Path: text(program), Args: []unitfile.Word{text("up")}}
	if c.ConfigFile != "" {
		service = append(service, set("ExecStartPre", p.readable(c.ConfigFile)))
		command.Args = append(command.Args, text(c.ConfigFile))
	} else {
		service = append(service, set("SetCredential", credential(planoConfig, planoSettings(cfg)),
			"Knows the model of this machine alone: there is nothing to fall back to. It holds no secret; plano.configFile takes its place."))
		command.Args = append(command.Args, unitfile.Concat{unitfile.Specifier('d'), text("/" + planoConfig)})
	}
	command.Args = append(command.Args, text("--foreground"))
	for _, a := range c.ExtraArgs {
		command.Args = append(command.Args, text(a))
	}
	service = append(service,
		set("ExecStart", command),
		set("DynamicUser", yes),
		set("ProtectProc", text("invisible")),
		set("CacheDirectory", text("plano")),
		set("WorkingDirectory", unitfile.Concat{unitfile.Specifier('C'), text("/plano")}),
		set("Environment", unitfile.Env{Name: "HOME", Value: unitfile.Concat{unitfile.Specifier('C'), text("/plano")}}),
	)
	for _, file := range c.EnvironmentFiles {
		service = append(service, set("EnvironmentFile", unitfile.Path(file)))
	}
	service = append(service,
		set("Slice", text("ai.slice")),
		set("TimeoutStartSec", within(cfg.Timeouts.StartUnit)),
		set("TimeoutStopSec", within(cfg.Timeouts.StopUnit)),
		set("Restart", text("on-failure")),
		set("RestartPreventExitStatus", unitfile.Int(execFailed), "A program that is missing is still missing ten seconds later."),
		set("RestartSec", span(vllmRestartAfter)),
	)
	return Unit{
		Name: planoService,
		Sections: []section{
			{Name: "Unit", Entries: []entry{
				set("Description", text("Plano model gateway")),
				set("Documentation", tokens{"man:dubnium-generator(8)", "https://docs.planoai.dev/"}),
				set("PartOf", names{string(mode.ComputeTarget)}, "It ends with compute mode."),
				set("After", names{cfg.VLLM.Unit}, "An order alone: a model that is elsewhere needs no vLLM here."),
				set("StartLimitIntervalSec", span(5*time.Minute)),
				set("StartLimitBurst", unitfile.Int(planoBurst)),
			}},
			{Name: "Service", Entries: joined(service, sandbox{
				families:    tokens{"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"},
				familiesWhy: "Netlink: the proxy inside of it lists the network interfaces.",
				refused:     tokens{"@privileged"},
			}.entries())},
			{Name: "Install", Entries: []entry{set("WantedBy", names{string(mode.ComputeTarget)})}},
		},
	}
}

// planoSettings is the gateway's own configuration with one model. JSON is
// YAML, without its traps.
func planoSettings(cfg config.Config) string {
	model := path.Base(vllmModel(cfg.VLLM))
	if name := cfg.VLLM.ServedName(); name != "" {
		model = name
	}
	doc, err := json.Marshal(map[string]any{
		"version":   "v0.3.0",
		"listeners": []any{map[string]any{"type": "model", "name": "dubnium", "address": cfg.Plano.Host, "port": cfg.Plano.Port}},
		"model_providers": []any{map[string]any{
			"model": "openai/" + model, "base_url": cfg.Plano.LocalBaseURL, "default": true,
		}},
	})
	if err != nil {
		panic(fmt.Sprintf("units: the settings of Plano: %v", err)) // strings and a number
	}
	return string(doc)
}

// credential is a value for SetCredential=, which reads C escapes. A percent
// sign is written as one, so that nobody can take it for a specifier.
func credential(name, data string) text {
	var b strings.Builder
	for _, c := range []byte(data) {
		if c == '\\' || c == '%' || c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return text(name + ":" + b.String())
}
