// Package workloads holds, on a booted machine, what the units of the workloads
// promise beyond starting and stopping: that one that lacks something fails
// where it can be seen and reaches for no network, and that what belongs to no
// mode goes through all of them.
package workloads

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/loop"
	"github.com/ryjen/dubnium/tests/machine"
)

const (
	model   = "/var/lib/dubnium/models/demo"
	runtime = "/var/lib/vllm/venv/bin/vllm"
	gateway = "127.0.0.1:12000"
)

const config = loop.Config + `
[plano]
enable = true

[k3s]
enable = true
`

type box struct {
	*machine.Machine
	t *testing.T
}

func boot(t *testing.T) box {
	t.Helper()
	b := box{machine.Start(t, loop.Options(
		machine.File{Path: "/etc/dubnium/dubnium.toml", Content: config},
		machine.File{Path: "/etc/systemd/system/k3s.service", Content: "[Service]\nType=exec\nExecStart=/usr/bin/sleep infinity\n"},
		machine.File{Path: "/etc/systemd/system/multi-user.target.wants/k3s.service", Link: "../k3s.service"},
	)), t}
	if _, err := b.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b box) request(to mode.Mode, code exitcode.Code) string {
	b.t.Helper()
	r := b.Run(b.t.Context(), "mode", "request", string(to))
	if r.Code != int(code) || r.Err != nil {
		b.t.Fatalf("want exit status %d: %s", code, r)
	}
	return r.Stdout + r.Stderr
}

func (b box) show(unit string, properties ...string) map[string]string {
	b.t.Helper()
	out := b.MustRun(b.t, "systemctl", "show", "--property="+strings.Join(properties, ","), unit)
	got := map[string]string{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		got[key] = value
	}
	return got
}

// TestK3s holds that k3s is one process through every transition there is, in
// its slice, and that the slice's budget is what changes.
func TestK3s(t *testing.T) {
	b := boot(t)
	const unit, slice = "k3s.service", "platform.slice"
	k3s := func() map[string]string { return b.show(unit, "MainPID", "ActiveState", "ControlGroup", "NRestarts") }
	first := k3s()
	if first["ActiveState"] != "active" || first["ControlGroup"] != "/platform.slice/k3s.service" {
		t.Fatalf("after the boot k3s is %v", first)
	}
	baseline := b.show(slice, "CPUWeight", "IOWeight", "MemoryHigh")
	taken := map[[2]mode.Mode]bool{}
	at := mode.Desktop
	for _, to := range []mode.Mode{mode.StudioLocal, mode.Compute, mode.StudioLocal, mode.Desktop, mode.Compute, mode.Desktop} {
		b.request(to, exitcode.OK)
		taken[[2]mode.Mode{at, to}] = true
		at = to
		if diff := cmp.Diff(first, k3s()); diff != "" {
			t.Errorf("in %s k3s is another, -before +now:\n%s", to, diff)
		}
		want := baseline
		if to == mode.StudioLocal {
			want = map[string]string{"CPUWeight": "20", "IOWeight": "20", "MemoryHigh": "8589934592"}
		}
		if diff := cmp.Diff(want, b.show(slice, "CPUWeight", "IOWeight", "MemoryHigh")); diff != "" {
			t.Errorf("the budget of %s in %s, -want +got:\n%s", slice, to, diff)
		}
	}
	for _, tr := range mode.Transitions() {
		if !taken[[2]mode.Mode{tr.From, tr.To}] {
			t.Errorf("%s -> %s was not taken", tr.From, tr.To)
		}
	}
}

// sent are the kernel's counts of what this machine has tried to send anywhere.
func (b box) sent() map[string]string {
	b.t.Helper()
	data, err := b.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", 1))
	if err != nil {
		b.t.Fatal(err)
	}
	counts := map[string]string{}
	var names []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(names) == 0 || names[0] != f[0] {
			names = f
			continue
		}
		for i, name := range names {
			switch f[0] + name {
			case "Tcp:ActiveOpens", "Udp:OutDatagrams", "Ip:OutNoRoutes", "Ip:OutRequests":
				counts[f[0]+name] = f[i]
			}
		}
	}
	if len(counts) != 4 {
		b.t.Fatalf("found %v in the kernel's counts", counts)
	}
	return counts
}

// TestMissing holds that a request is blocked, with the path, before the
// desktop is touched; that vLLM, started all the same, fails before its program
// runs, and sends nothing anywhere; and that without Plano nobody answers on
// its port.
func TestMissing(t *testing.T) {
	b := boot(t)
	sessions, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{model, runtime} {
		b.MustRun(t, "mv", path, path+".away")
		if out := b.request(mode.Compute, 18); !strings.Contains(out, path) {
			t.Errorf("the request does not name %s: %s", path, out)
		}
		before := b.sent()
		if r := b.Run(t.Context(), "systemctl", "start", "vllm.service"); r.Code == 0 {
			t.Errorf("vLLM started without %s", path)
		}
		if diff := cmp.Diff(before, b.sent()); diff != "" {
			t.Errorf("without %s vLLM sent something, -before +after:\n%s", path, diff)
		}
		if j := b.Journal("--unit=vllm.service"); !strings.Contains(j, path) {
			t.Errorf("the journal does not name %s:\n%s", path, j)
		}
		b.MustRun(t, "systemctl", "stop", "vllm.service")
		b.Run(t.Context(), "systemctl", "reset-failed", "vllm.service") // it may have nothing to reset
		b.MustRun(t, "mv", path+".away", path)
	}
	now, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sessions, now); diff != "" {
		t.Errorf("blocked requests changed the sessions, -before +after:\n%s", diff)
	}

	b.request(mode.Compute, exitcode.OK) // Plano is no condition of compute
	pid := b.show("vllm.service", "MainPID")["MainPID"]
	environ, err := b.ReadFile("/proc/" + pid + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, offline := range []string{"HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1"} {
		if !strings.Contains("\x00"+string(environ), "\x00"+offline+"\x00") {
			t.Errorf("vLLM runs without %s: %q", offline, environ)
		}
	}
	if got := b.show("plano.service", "ActiveState", "MainPID"); got["ActiveState"] == "active" || got["MainPID"] != "0" {
		t.Errorf("without its program Plano is %v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if conn, err := b.Dial(ctx, "tcp", gateway); err == nil {
		conn.Close()
		t.Errorf("somebody answers on %s", gateway)
	} else if _, ok := err.(*net.OpError); !ok {
		t.Errorf("dial %s: %v", gateway, err)
	}
}
