package loop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/machine"
)

// TestForce forces a transition past a soft guard as three users: root's word
// counts, once, is in the history with the reason and who asked, and passes no
// hard guard.
func TestForce(t *testing.T) {
	// More memory than any machine has.
	needs := strings.Replace(Config, `compute = "128MiB"`, `compute = "8192GiB"`, 1)
	b := boot(t, machine.File{Path: "/etc/dubnium/dubnium.toml", Content: needs})
	b.run(exitcode.MemoryLow, "mode", "request", "compute")
	force := []string{"mode", "force", "compute", "--override", "memory_headroom", "--reason", "the figure is wrong"}

	b.run(0, "usermod", "--append", "--groups", config.OperatorsGroup, "operator")
	for _, user := range []string{"guest", "operator"} {
		if r := b.RunAs(t.Context(), user, force...); r.Code != int(exitcode.NotPermitted) {
			t.Errorf("%s: want %d: %s", user, exitcode.NotPermitted, r)
		}
		if r := b.RunAs(t.Context(), user, "sh", "-c", "echo x >"+record.OverrideFile); r.Code == 0 {
			t.Errorf("%s can write an override", user)
		}
	}
	b.observed(mode.StateDesktop)

	// A hard guard beside it stands.
	inhibit := b.inhibit("an editor", "unsaved work")
	b.run(exitcode.GraphicalPresent, force...)
	inhibit()
	if ev := b.last(); ev.Outcome != record.Blocked || ev.Override == nil || fmt.Sprint(ev.Override.Used) != "[check_memory_headroom]" {
		t.Errorf("%s, %+v", ev.Outcome, ev.Override)
	}
	b.observed(mode.StateDesktop)
	// The override was for that request.
	b.run(exitcode.MemoryLow, "mode", "request", "compute")

	b.run(0, force...)
	b.observed(mode.StateCompute)
	if r := b.Run(t.Context(), "test", "-e", record.OverrideFile); r.Code == 0 {
		t.Error("the override is left behind")
	}
	o := b.last().Override
	if o == nil || o.Reason != "the figure is wrong" || o.User != "root" || o.UID != 0 || fmt.Sprint(o.Used) != "[check_memory_headroom]" {
		t.Errorf("the record says %+v", o)
	}
	if found := b.entries("OVERRIDE=check_memory_headroom", "REASON=the figure is wrong"); len(found) != 2 {
		t.Errorf("%d entries in the journal tell of it, want one for each time", len(found))
	}
	if out := b.run(0, "mode", "history", "show").Stdout; !strings.Contains(out, "Overridden by root (uid 0): check_memory_headroom, because: the figure is wrong. Passed over: check_memory_headroom.") {
		t.Errorf("mode history show: %s", out)
	}
}
