package packages

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/tests/docs"
	"github.com/ryjen/dubnium/tests/loop"
	"github.com/ryjen/dubnium/tests/machine"
)

const configFile = "/etc/dubnium/dubnium.toml"

// box is a machine on which packages come and go.
type box struct {
	*machine.Machine
	t *testing.T
}

// bound is for what unpacks 200 MB on a busy host.
const bound = 3 * time.Minute

// run runs a command, which exits with code, and gives all that it prints.
func (b box) run(code int, argv ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), bound)
	defer cancel()
	r := b.Run(ctx, argv...)
	if r.Code != code || r.Err != nil {
		b.t.Fatalf("want exit status %d: %s", code, r)
	}
	return r.Stdout + r.Stderr
}

func (b box) file(path string) string {
	b.t.Helper()
	data, err := b.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

func (b box) observed(want mode.State) {
	b.t.Helper()
	var o observe.Observation
	if err := json.Unmarshal([]byte(b.MustRun(b.t, "observe-current", "--json")), &o); err != nil {
		b.t.Fatal(err)
	}
	if o.State != want {
		b.t.Fatalf("observed %s, want %s: unmet %v, conflicts %v", o.State, want, o.Unmet, o.Conflicts)
	}
}

// says fails the test unless a text has every one of the words.
func (b box) says(text string, words ...string) {
	b.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			b.t.Errorf("it does not say %q:\n%s", w, text)
		}
	}
}

// everything lists the files of the machine and their folders, but for what
// the distribution writes while it runs.
func (b box) everything() []string {
	b.t.Helper()
	out := b.MustRun(b.t, "find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/sys", "-o", "-path", "/dev", "-o", "-path", "/tmp",
		"-o", "-path", "/var/log", "-o", "-path", "/var/tmp", "-o", "-path", "/var/lib/dpkg", "-o", "-path", "/var/lib/rpm", "-o", "-path", "/var/cache/apt", "-o", "-path", "/var/lib/apt",
		"-o", "-path", "/var/lib/systemd", "-o", "-path", "/home", "-o", "-path", "/root", "-o", "-path", "/var/cache/ldconfig", "-o", "-path", "/var/cache/debconf", ")", "-prune", "-o", "-print")
	runtime := b.MustRun(b.t, "find", "/run", "-maxdepth", "1", "(", "-name", "mode*", "-o", "-name", "dubnium*", ")")
	stamps := b.MustRun(b.t, "find", "/var/lib/systemd", "-name", "*dubnium*") // when a timer was due
	all := strings.Split(strings.TrimSpace(out+runtime+stamps), "\n")
	slices.Sort(all)
	return all
}

// follow runs the n-th block of a kind in docs/getting-started.md, in a folder.
func (b box) follow(kind string, n int, dir string) string {
	b.t.Helper()
	all, err := docs.Read(repository)
	if err != nil {
		b.t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(block docs.Block) bool { return block.Run != kind })
	if n >= len(all) {
		b.t.Fatalf("there are %d blocks with run=%s, not %d", len(all), kind, n+1)
	}
	script, err := all[n].Script()
	if err != nil || script == "" {
		b.t.Fatalf("%s: no commands (%v)", all[n], err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), bound)
	defer cancel()
	r := b.Exec(ctx, docs.Command(script, dir))
	if r.Code != 0 || r.Err != nil {
		b.t.Fatalf("%s: %s", all[n], r)
	}
	return r.Stdout + r.Stderr
}

// newer makes a package of another version, whose configuration has another
// last line.
func newer(t *testing.T, deb, version string) string {
	t.Helper()
	dir := t.TempDir()
	command(t, ".", nil, "dpkg-deb", "-R", deb, dir+"/tree")
	edit := func(name string, change func(string) string) {
		path := filepath.Join(dir, "tree", name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(change(string(data))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit("DEBIAN/control", func(s string) string {
		return regexp.MustCompile("(?m)^Version: .*").ReplaceAllString(s, "Version: "+version)
	})
	edit(configFile, func(s string) string { return s + "\n# of " + version + "\n" })
	out := filepath.Join(dir, version+".deb")
	command(t, ".", nil, "dpkg-deb", "--root-owner-group", "-Znone", "-b", dir+"/tree", out)
	return out
}

// host makes a machine that has files in /usr/src and the workloads' stand-ins,
// and nothing of Dubnium installed.
func host(t *testing.T, files ...string) box {
	t.Helper()
	overlay := t.TempDir()
	src := filepath.Join(overlay, "usr", "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		command(t, ".", nil, "cp", "-r", path, src)
	}
	lacks, err := docs.Files()
	if err != nil {
		t.Fatal(err)
	}
	o := loop.Options(lacks...)
	o.Files = append(o.Files, machine.File{Path: "/etc/dpkg/dpkg.cfg.d/99mmdebstrap", Content: "force-unsafe-io\n"}) // manuals are wanted here, and no fsync
	o.Files = append(o.Files, machine.File{Path: "/etc/apt/apt.conf.d/yes", Content: "APT::Get::Assume-Yes \"true\";\n"})
	o.Overlay = append(slices.DeleteFunc(o.Overlay, func(dir string) bool { return filepath.Base(dir) == "root" }), overlay)
	o.Files = slices.DeleteFunc(o.Files, func(f machine.File) bool { return f.Path == configFile })
	b := box{machine.Start(t, o), t}
	if _, err := b.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// nothingStarted holds that what was just installed is there, and asleep.
func (b box) nothingStarted() {
	b.t.Helper()
	if active := b.MustRun(b.t, "systemctl", "list-units", "--state=active", "--plain", "--no-legend", "mode-*", "desktop.target", "compute.target", "dubnium-[em]*", "vllm*", "plano*"); active != "" {
		b.t.Errorf("installing started something:\n%s", active)
	}
	for line := range strings.Lines(b.MustRun(b.t, "systemctl", "list-unit-files", "--plain", "--no-legend", "mode-*", "dubnium-[em]*", "vllm.service", "plano.service", "audio-priority.service", "studio-local-policy.service")) {
		if f := strings.Fields(line); !slices.Contains([]string{"static", "disabled"}, f[1]) {
			b.t.Errorf("installing enabled something: %s", line)
		}
	}
	b.accounts()
	b.run(0, "test", "-d", "/var/lib/dubnium/models")
	b.run(0, "mode", "status") // before anything runs
}

// accounts holds that the accounts are there, which own what stays.
func (b box) accounts() {
	b.t.Helper()
	b.run(0, "getent", "group", "dubnium")
	b.run(0, "getent", "passwd", "dubnium-memory")
}

// running names what runs: other names afterwards are those of another start.
func (b box) running() string {
	b.t.Helper()
	return b.MustRun(b.t, "systemctl", "show", "--property=InvocationID", "desktop.target", "mode-boot.service", "audio-priority.service")
}

// upgraded holds that an upgrade left the machine in its mode, and what runs alone.
func (b box) upgraded(before string) {
	b.t.Helper()
	if diff := cmp.Diff(loop.Config, b.file(configFile)); diff != "" {
		b.t.Errorf("the upgrade changed the configuration, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, b.running()); diff != "" {
		b.t.Errorf("the upgrade restarted something, -before +after:\n%s", diff)
	}
	b.observed(mode.StateStudioLocal)
	b.run(0, "systemctl", "is-enabled", "mode-boot.service")
	if got := b.MustRun(b.t, "systemctl", "show", "--property=NeedDaemonReload", "mode-boot.service"); got != "NeedDaemonReload=no\n" {
		b.t.Errorf("systemd was not told of the upgrade: %s", got)
	}
}

// stays is what a machine keeps when Dubnium has gone: logs and data.
var stays = []string{
	"/var/lib/mode-controller", "/var/lib/mode-controller/events.jsonl", "/var/lib/mode-controller/tally.json",
	"/var/lib/dubnium/rooms", "/var/lib/dubnium/vault",
}

// TestDeb installs, upgrades, removes and purges the package on a machine that
// runs, and walks the modes in between.
func TestDeb(t *testing.T) {
	deb, _ := packages(t)
	version, _ := stamp(t)
	update := newer(t, deb, packaged(version)+"+newer")
	b := host(t, deb, filepath.Join(filepath.Dir(deb), "SHA256SUMS"), update)
	before := b.everything()

	b.says(b.follow("deb", 0, "/usr/src"), "dubnium: nothing was started; next: edit "+configFile)
	b.nothingStarted()
	b.run(0, "dpkg", "--verify", "dubnium")

	// The loop, from the package.
	if err := b.WriteFile(configFile, loop.Config); err != nil {
		t.Fatal(err)
	}
	b.follow("deb", 1, "/root")
	b.observed(mode.StateDesktop)
	b.run(0, "mode", "request", "compute")
	b.observed(mode.StateCompute)
	b.run(0, "systemctl", "is-active", "vllm.service")
	b.says(b.run(1, "dpkg", "--remove", "dubnium"), "the machine is in compute mode", "run mode request desktop first")
	b.observed(mode.StateCompute)
	b.run(0, "mode", "request", "desktop")
	b.observed(mode.StateDesktop)

	// An upgrade leaves the machine in its mode, and the configuration alone.
	b.run(0, "mode", "request", "studio-local")
	running := b.running()
	b.run(0, "dpkg", "--force-confold", "--install", "/usr/src/"+filepath.Base(update))
	b.upgraded(running)
	b.says(b.file(configFile+".dpkg-dist"), "# of "+packaged(version)+"+newer")

	// Removed, the configuration stays; purged, only logs and data do.
	b.run(0, "systemctl", "start", "dubnium-memory-expire.timer")
	sessions, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.says(b.run(0, "dpkg", "--remove", "dubnium"), "dubnium: removed", "/var/lib/mode-controller", "/var/lib/dubnium-memory")
	b.file(configFile)
	b.run(4, "systemctl", "is-active", "--quiet", "audio-priority.service", "desktop.target") // none of that name
	b.says(b.follow("deb", 2, "/root"), "dubnium: purged", "/var/lib/mode-controller")
	b.left(before)
	now, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(now) != len(sessions) {
		t.Errorf("sessions were %v, are %v", sessions, now)
	}
}

// left fails the test unless the machine is as it was, but for logs and data.
func (b box) left(before []string) {
	b.t.Helper()
	var more []string
	after := b.everything()
	for _, path := range after {
		if !slices.Contains(before, path) && !slices.Contains(stays, path) {
			more = append(more, path)
		}
	}
	if diff := cmp.Diff([]string(nil), more); diff != "" {
		b.t.Errorf("left behind, -want +got:\n%s", diff)
	}
	for _, path := range before {
		if !slices.Contains(after, path) {
			b.t.Errorf("%s went with it", path)
		}
	}
	if failed := strings.TrimSpace(b.MustRun(b.t, "systemctl", "--failed", "--plain", "--no-legend")); failed != "" {
		b.t.Errorf("failed units: %s", failed)
	}
	if loaded := b.MustRun(b.t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "mode-*", "dubnium-[em]*"); regexp.MustCompile(`(?m)\bloaded\b`).MatchString(loaded) {
		b.t.Errorf("systemd still has:\n%s", loaded)
	}
}
