package programs

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ryjen/dubnium/pkg/bus"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/guardproc"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/systemd"
	"github.com/ryjen/dubnium/pkg/units"
	"github.com/ryjen/dubnium/pkg/version"
)

const reinstall = "install Dubnium again (make install, or the distribution's package)"

// programs looks whether all of Dubnium's programs lie beside this one, are
// root's, and are of the same version: the controller runs those that it finds
// there.
func (d *doctor) programs(ctx context.Context) {
	const area = "installation"
	self, err := os.Executable()
	if err != nil {
		d.fault(area, "programs", reinstall, "find the folder of the programs: %v", err)
		return
	}
	dir := filepath.Dir(self)
	names := []string{"mode", "reconcile", "observe-current", "mode-idle"}
	for _, g := range guards.All() {
		names = append(names, g.Binary())
	}
	if len(d.cfg.Hardware.PresentGPUs) > 0 {
		names = append(names, gpu.Binary)
	}
	versions := make([]string, len(names))
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			if errs[i] = program(filepath.Join(dir, name)); errs[i] == nil {
				versions[i], errs[i] = guardproc.Version(ctx, filepath.Join(dir, name))
			}
		})
	}
	all.Wait()
	right := 0
	for i, name := range names {
		switch {
		case errs[i] != nil:
			d.fault(area, name, reinstall, "%v", errs[i])
		case versions[i] != version.String():
			d.fault(area, name, reinstall, "it is version %s, and mode is %s", versions[i], version.String())
		default:
			right++
		}
	}
	if right == len(names) {
		d.ok(area, "programs", "%d programs in %s are version %s", right, dir, version.String())
	}
}

// program tells why root should not run a program.
func program(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is no program: mode %v", file, info.Mode())
	case info.Mode()&0o022 != 0:
		return fmt.Errorf("%s can be written by others than its owner: mode %v", file, info.Mode())
	}
	return nil
}

// contract are the properties of a unit that Dubnium's promises rest on
// (org.freedesktop.systemd1(5)).
var contract = []struct {
	unit, property string
	want           any
	why            string
}{
	{"mode-controller@desktop.service", "Type", "oneshot", "a request waits for the end of the transition"},
	{"mode-controller@desktop.service", "IgnoreOnIsolate", true, "it would be stopped half-way by an isolate"},
	{"mode-controller@desktop.service", "KillMode", "mixed", "stopping it has to let it restore the mode that it came from"},
	{"mode-controller@desktop.service", "User", "", "only root can carry a transition out"},
	{"mode-boot.service", "Type", "oneshot", "the boot has to go on when it is done"},
}

// instances are those as which templates are looked at. No room has to be there
// for it: the instance is not started.
var instances = strings.NewReplacer("mode-controller@.", "mode-controller@desktop.", "mode-guard@.", "mode-guard@audio_idle.", "room@.", "room@any.")

// unitNames are the units that are looked at.
func unitNames(cfg config.Config) []string {
	var names []string
	for _, u := range units.All(cfg, units.Paths{}) {
		names = append(names, instances.Replace(u.Name))
	}
	return names
}

// units asks systemd whether it has the units, as they are meant.
func (d *doctor) units(ctx context.Context) {
	const area = "units"
	const reload = "systemctl daemon-reload"
	conn, err := bus.Dial(ctx, d.env.Root)
	if err != nil {
		d.fault(area, "systemd", "start the machine's D-Bus: systemctl status dbus.service dbus.socket", "ask systemd for its units: %v", err)
		return
	}
	defer conn.Close()
	names := unitNames(d.cfg)
	var calls []*bus.Call
	for _, name := range names {
		calls = append(calls, &bus.Call{
			Dest: "org.freedesktop.systemd1", Path: "/org/freedesktop/systemd1", Method: "org.freedesktop.systemd1.Manager.LoadUnit", Args: []any{name},
		}, bus.GetAll("org.freedesktop.systemd1", systemd.UnitPath(name), ""))
	}
	if err := conn.Batch(ctx, calls...); err != nil {
		d.fault(area, "systemd", "look at the machine's D-Bus: busctl status org.freedesktop.systemd1", "ask systemd for its units: %v", err)
		return
	}
	right := 0
	for i, name := range names {
		before := len(d.list)
		values, err := calls[2*i+1].Props()
		if err != nil {
			d.fault(area, name, reinstall, "%v", err)
			continue
		}
		p := bus.NewProps(name, values)
		switch state := bus.Value[string](p, "LoadState"); state {
		case "loaded":
		case "masked":
			d.fault(area, name, "systemctl unmask "+name, "it is masked, and can't be started")
		default:
			d.fault(area, name, reinstall+", then "+reload, "systemd has not loaded it: it is %s", state)
			continue
		}
		if stale, _ := bus.Lookup[bool](p, "NeedDaemonReload"); stale {
			d.warn(area, name, reload, "its file has changed since systemd read it")
		}
		if drops, _ := bus.Lookup[[]string](p, "DropInPaths"); len(drops) > 0 && !generated(d.env.Root, drops) {
			d.warn(area, name, "see that they keep the contract: systemctl cat "+name, "drop-ins change it: %s", strings.Join(drops, ", "))
		}
		d.kept(name, p)
		if name == "mode-boot.service" || name == "mode-observe.service" {
			if state, known := bus.Lookup[string](p, "UnitFileState"); known && state != "enabled" && state != "enabled-runtime" && state != "static" && state != "linked" && state != "generated" {
				d.warn(area, name, "systemctl enable "+name, "it is %s: nothing normalises the mode at boot", orWord(state, "not enabled"))
			}
		}
		if len(d.list) == before {
			right++
		}
	}
	if right == len(names) {
		d.ok(area, "systemd", "%d units are loaded as they are meant", right)
	}
}

// generated tells whether all drop-ins are of generators, ours among them, of
// the overlay that weighs the slices at run time, or of NixOS, whose module
// makes one for each unit that it sets something of.
func generated(root hostfs.Root, drops []string) bool {
	return !slices.ContainsFunc(drops, func(p string) bool {
		if strings.HasPrefix(p, "/run/systemd/generator") || strings.HasPrefix(p, "/run/systemd/system.control/") {
			return false
		}
		file, err := filepath.EvalSymlinks(root.Path(p))
		return err != nil || !strings.HasPrefix(file, root.Path("nix/store")+"/")
	})
}

// kept looks at the properties of the contract.
func (d *doctor) kept(name string, p *bus.Props) {
	for _, c := range contract {
		if c.unit != name {
			continue
		}
		var got any
		var known bool
		switch c.want.(type) {
		case bool:
			got, known = bus.Lookup[bool](p, c.property)
		case string:
			got, known = bus.Lookup[string](p, c.property)
		}
		if known && got != c.want {
			d.fault("units", name, "take the drop-in or the file that sets it away: systemctl cat "+name, "%s is %v, and has to be %v: %s", c.property, got, orAny(c.want), c.why)
		}
	}
}

func orAny(v any) any {
	if v == "" {
		return "empty"
	}
	return v
}

// ruleDirs are where polkit looks for rules (polkit(8)).
var ruleDirs = []string{"/etc/polkit-1/rules.d", "/run/polkit-1/rules.d", "/usr/local/share/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"}

const ruleFile = "50-dubnium.rules"

// operators looks for the group and the rule that let people without root ask
// for a mode.
func (d *doctor) operators(context.Context) {
	const area = "operators"
	members, err := groupMembers(d.env.Root, config.OperatorsGroup)
	switch {
	case err != nil:
		d.fault(area, "group "+config.OperatorsGroup, "systemd-sysusers", "%v", err)
	case len(members) == 0:
		d.ok(area, "group "+config.OperatorsGroup, "it is there and has no members: only root may ask for a mode")
	default:
		d.ok(area, "group "+config.OperatorsGroup, "its members may ask for a mode: %s", strings.Join(members, ", "))
	}
	var denied error
	for _, dir := range ruleDirs {
		data, err := d.env.Root.ReadFile(path.Join(dir, ruleFile))
		if err == nil {
			d.rule(area, path.Join(dir, ruleFile), data)
			return
		}
		if !hostfs.Absent(err) {
			denied = err
		}
	}
	if denied != nil {
		d.warn(area, "polkit rule", "run mode doctor as root", "%v", denied)
		return
	}
	d.fault(area, "polkit rule", reinstall, "none of %s holds %s: members of the group may not ask for a mode", strings.Join(ruleDirs, ", "), ruleFile)
}

func (d *doctor) rule(area, file string, data []byte) {
	files, err := units.Render(d.cfg, units.Paths{})
	i := slices.IndexFunc(files, func(f units.File) bool { return path.Base(f.Path) == ruleFile })
	switch {
	case err != nil || i < 0:
		d.fault(area, "polkit rule", "report it: this is a bug", "the rule can't be rendered: %v", err)
	case files[i].Text != string(data):
		d.fault(area, "polkit rule", reinstall, "%s is not the rule of this version: it may allow more, or less", file)
	default:
		d.ok(area, "polkit rule", "%s is in place", file)
	}
}

// groupMembers reads group(5), and asks the system's other sources where the
// file has no such group.
func groupMembers(root hostfs.Root, name string) ([]string, error) {
	data, err := root.ReadFile("/etc/group")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) == 4 && fields[0] == name {
			return strings.FieldsFunc(fields[3], func(r rune) bool { return r == ',' }), nil
		}
	}
	if root.Real() {
		if _, err := user.LookupGroup(name); err == nil {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("there is no group %s", name)
}

// owned tells what is wrong with the owner and the permissions of something
// that root alone may change.
func owned(info fs.FileInfo, want fs.FileMode) (remedy, message string) {
	stat, _ := info.Sys().(*syscall.Stat_t)
	switch {
	case stat != nil && (stat.Uid != 0 || stat.Gid != 0):
		return "chown root:root", fmt.Sprintf("it belongs to %d:%d, not to root", stat.Uid, stat.Gid)
	case info.Mode()&0o022 != 0:
		return "chmod go-w", fmt.Sprintf("others than root can write it: mode %v", info.Mode())
	case info.Mode().Perm()&want != want:
		return fmt.Sprintf("chmod %o", want), fmt.Sprintf("not everybody can read it: mode %v", info.Mode())
	}
	return "", ""
}
