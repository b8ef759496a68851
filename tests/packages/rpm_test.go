package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/loop"
)

// newerRPM makes a package of another version, whose configuration has another
// last line. There is no tool that changes one, so it is made of a tree.
func newerRPM(t *testing.T, version string) string {
	t.Helper()
	tree := t.TempDir()
	command(t, repository, nil, "cp", "-r", "go.mod", "go.sum", "cmd", "docs", "pkg", "scripts", tree)
	bin, err := filepath.Abs(filepath.Join(repository, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bin, filepath.Join(tree, "bin")); err != nil {
		t.Fatal(err)
	}
	config, err := os.OpenFile(filepath.Join(tree, "docs/dubnium.toml.example"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.WriteString("\n# of " + version + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := config.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(command(t, tree, []string{"SOURCE_DATE_EPOCH=" + at, "VERSION=" + version}, "scripts/package", "rpm", filepath.Join(t.TempDir(), "out")))
}

// rpm runs rpm on the machine, as dnf does, but for what the package requires:
// no rpm provides systemd, D-Bus or polkit there, since Debian's packages do.
func (b box) rpm(code int, args ...string) string {
	b.t.Helper()
	return b.run(code, append([]string{"rpm", "--nodeps"}, args...)...)
}

// TestRPMInstalls installs, upgrades and erases the package on a machine that
// runs, by rpm itself, and walks the modes in between; and then the installer
// in the tarball, on the same machine. The machine is a Debian: what only a
// Fedora has, such as SELinux, is not in it.
func TestRPMInstalls(t *testing.T) {
	_, rpm := packages(t)
	version, _ := stamp(t)
	update := newerRPM(t, version+"+newer")
	name := "dubnium-" + version + "-linux-amd64"
	unpacked := t.TempDir()
	command(t, unpacked, nil, "tar", "-xf", built.tarball)
	b := host(t, rpm, update, filepath.Join(unpacked, name))
	b.run(0, "mkdir", "-p", "/usr/share/man/man8") // in every Fedora; the machine's tree has no manual
	before := b.everything()

	b.says(b.rpm(0, "-i", "/usr/src/"+filepath.Base(rpm)), "dubnium: nothing was started; next: edit "+configFile)
	b.nothingStarted()
	if changed := b.rpm(0, "-V", "dubnium"); changed != "" {
		t.Errorf("rpm finds other files than it laid there:\n%s", changed)
	}

	// The loop, from the package.
	if err := b.WriteFile(configFile, loop.Config); err != nil {
		t.Fatal(err)
	}
	b.follow("deb", 1, "/root")
	b.observed(mode.StateDesktop)
	b.run(0, "mode", "request", "compute")
	b.says(b.rpm(1, "-e", "dubnium"), "the machine is in compute mode", "run mode request desktop first")
	b.observed(mode.StateCompute)
	b.run(0, "rpm", "-q", "dubnium")
	b.run(0, "mode", "request", "studio-local")

	// An upgrade leaves the machine in its mode, and the configuration alone.
	running := b.running()
	if said := b.rpm(0, "-U", "/usr/src/"+filepath.Base(update)); strings.Contains(said, "dubnium:") {
		t.Errorf("an upgrade says what is for a new machine: %s", said)
	}
	b.upgraded(running)
	b.says(b.file(configFile+".rpmnew"), "# of "+version+"+newer")
	b.says(b.run(0, "rpm", "-q", "dubnium"), packaged(version)+"+newer")

	// Erased, only logs, data and what the operator wrote stay.
	b.run(0, "systemctl", "start", "dubnium-memory-expire.timer")
	sessions, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.says(b.rpm(0, "-e", "dubnium"), "dubnium: removed", "/var/lib/mode-controller", "/var/lib/dubnium-memory")
	if diff := cmp.Diff(loop.Config, b.file(configFile+".rpmsave")); diff != "" {
		t.Errorf("what the operator wrote, -want +got:\n%s", diff)
	}
	if got, want := b.MustRun(t, "ls", "/etc/dubnium"), "dubnium.toml.rpmnew\ndubnium.toml.rpmsave\n"; got != want {
		t.Errorf("in /etc/dubnium is %q, want %q", got, want)
	}
	b.run(0, "rm", "-r", "/etc/dubnium") // as the operator would
	b.accounts()
	b.left(before)
	now, err := b.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(now) != len(sessions) {
		t.Errorf("sessions were %v, are %v", sessions, now)
	}

	// A configuration that nobody changed goes with the package.
	b.rpm(0, "-i", "/usr/src/"+filepath.Base(rpm))
	b.rpm(0, "-e", "dubnium")
	b.left(before)

	b.tarball(name, version)
}

// tarball installs and uninstalls what the tarball has, which is in /usr/src.
func (b box) tarball(name, version string) {
	b.t.Helper()
	local := func() string { return b.MustRun(b.t, "find", "/usr/local", "/etc/systemd", "!", "-type", "d") }
	clean := local()
	b.follow("tarball", 0, "/usr/src/"+name)
	b.says(b.run(0, "/usr/local/bin/mode", "--version"), version)
	b.says(b.run(0, "/usr/src/"+name+"/scripts/install", "uninstall", "/", "/usr/local"), "Yours to delete", "/var/lib/mode-controller")
	if diff := cmp.Diff(clean, local()); diff != "" {
		b.t.Errorf("the tarball's files, -before +after:\n%s", diff)
	}
}
