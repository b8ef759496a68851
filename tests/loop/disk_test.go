package loop

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// TestFullDisk fills the disk that the history is on: no transition begins; one
// under way is finished, says that it could not be recorded, and is recorded by
// the next. Then the history is rotated away in the middle of a transition, and
// is whole in its two parts.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	b := boot(t, quick)
	k := newKillTest(b)
	b.MustRun(t, "mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "history", record.StateDir)
	full := func() {
		// More than there is, and then whatever is left of the log's last page.
		b.Shell(t.Context(), "dd if=/dev/zero of="+record.StateDir+"/ballast bs=64k; yes '' | dd of="+record.EventsFile+" oflag=append conv=notrunc bs=1")
	}
	room := func() { b.MustRun(t, "rm", record.StateDir+"/ballast") }

	full()
	r := b.run(exitcode.Internal, "mode", "request", "studio-local")
	if !strings.Contains(b.Journal("-u", "mode-controller@studio-local"), "no transition starts that can't be recorded") {
		t.Errorf("it is not said why: %s", r)
	}
	b.observed(mode.StateDesktop)
	if err := Facts(t.Context(), b.Machine, mode.Desktop); err != nil {
		t.Error(err)
	}
	if m, err := Marker(b.Machine); m != nil || err != nil {
		t.Errorf("a transition that did not begin left a marker: %+v, %v", m, err)
	}
	room()

	k.Arm(2, StepBoundary, func(int) { full() })
	b.run(0, "mode", "request", "studio-local")
	if k.Disarm() == "" {
		t.Fatal("the disk was not filled in the middle of it")
	}
	b.observed(mode.StateStudioLocal)
	ev := b.last()
	if ev.Outcome != record.Converged || !strings.Contains(ev.Reason, "the history could not be written") {
		t.Errorf("%s: %s", ev.Outcome, ev.Reason)
	}
	if n := b.ends()[ev.ID]; n != 0 {
		t.Errorf("%d ends are written on a full disk", n)
	}
	room()
	k.converges(mode.Desktop)
	if n := b.ends()[ev.ID]; n != 1 {
		t.Errorf("with room again, the history has %d ends of it", n)
	}

	const rotated = record.EventsFile + ".1"
	k.Arm(2, StepBoundary, func(int) { b.Run(t.Context(), "mv", record.EventsFile, rotated) })
	k.converges(mode.StudioLocal)
	ev = b.last()
	if old, now := b.file(rotated), b.ends(); !strings.Contains(old, ev.ID) || len(now) != 1 || now[ev.ID] != 1 {
		t.Errorf("after the rotation the history has %v", now)
	}
	_ = k.Close()
}

// ends counts the ends of transitions in the history. Lines without anything,
// which a full disk may leave, are none.
func (b box) ends() map[string]int {
	b.t.Helper()
	n := map[string]int{}
	for line := range strings.Lines(b.file(record.EventsFile)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var ev record.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			b.t.Errorf("the history has the line %q: %v", line, err)
		} else if ev.Type == record.TypeTransition {
			n[ev.ID]++
		}
	}
	return n
}
