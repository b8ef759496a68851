package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/machine"
)

// contract lists the units of the modes, and in which of them each is active.
var contract = []struct {
	unit string
	in   []mode.Mode
}{
	{"desktop.target", []mode.Mode{mode.Desktop, mode.StudioLocal}},
	{displayManager, []mode.Mode{mode.Desktop, mode.StudioLocal}},
	{"studio-local-policy.service", []mode.Mode{mode.StudioLocal}},
	{"audio-priority.service", []mode.Mode{mode.StudioLocal}},
	{"compute.target", []mode.Mode{mode.Compute}},
	{"vllm.service", []mode.Mode{mode.Compute}},
}

const displayManager = "display-manager.service"

// Facts looks whether a machine is in a mode, by asking systemctl and logind and
// nothing of Dubnium's. What is not so is the error.
func Facts(ctx context.Context, m *machine.Machine, is mode.Mode) error {
	argv := []string{"systemctl", "is-active"}
	for _, c := range contract {
		argv = append(argv, c.unit)
	}
	r := m.Run(ctx, argv...)
	states := strings.Fields(r.Stdout)
	if len(states) != len(contract) {
		return fmt.Errorf("ask for the state of %d units: %s", len(contract), r)
	}
	var wrong []error
	for i, c := range contract {
		in := slices.Contains(c.in, is)
		if in && c.unit == displayManager && states[i] == "activating" {
			continue // whether there is a session, or a greeter, is what counts
		}
		if (states[i] == "active") != in {
			wrong = append(wrong, fmt.Errorf("%s is %s", c.unit, states[i]))
		}
	}
	sessions, err := m.Sessions(ctx)
	if err != nil {
		return err
	}
	graphical := slices.ContainsFunc(sessions, func(s machine.Session) bool {
		return s.Type == "wayland" && (s.Class == "user" || s.Class == "greeter") && s.State != "closing"
	})
	if graphical != (is != mode.Compute) {
		wrong = append(wrong, fmt.Errorf("logind knows %+v", sessions))
	}
	return errors.Join(wrong...)
}
