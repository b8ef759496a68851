package programs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/procinfo"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/survey"
)

// folders looks at who may change the state and the history.
func (d *doctor) folders(context.Context) {
	const area = "permissions"
	for _, dir := range []string{record.RunDir, record.StateDir} {
		info, err := os.Lstat(d.env.Root.Path(dir))
		switch {
		case hostfs.Absent(err):
			d.fault(area, dir, "systemd-tmpfiles --create", "it does not exist")
			continue
		case err != nil:
			d.fault(area, dir, "run mode doctor as root", "%v", err)
			continue
		case !info.IsDir():
			d.fault(area, dir, "move it away, then systemd-tmpfiles --create", "it is no folder: mode %v", info.Mode())
			continue
		}
		before := len(d.list)
		if remedy, message := owned(info, 0o555); message != "" {
			d.fault(area, dir, remedy+" "+dir, "%s", message)
		}
		d.files(area, dir)
		if len(d.list) == before {
			d.ok(area, dir, "it and what is in it are root's")
		}
	}
}

// private are files that not everybody may open: whoever could would lock
// transitions out.
var private = map[string]bool{path.Base(record.LockFile): true, path.Base(record.OverrideFile): true}

// files looks at what is in a folder of ours. Names with a dot are of writers
// that were killed, and nobody reads them.
func (d *doctor) files(area, dir string) {
	names, err := d.env.Root.ReadDirNames(dir)
	if err != nil {
		d.fault(area, dir, "run mode doctor as root", "%v", err)
		return
	}
	for _, name := range names {
		file := path.Join(dir, name)
		info, err := os.Lstat(d.env.Root.Path(file))
		if strings.HasPrefix(name, ".") || hostfs.Absent(err) || err == nil && info.IsDir() {
			continue
		}
		if err != nil || !info.Mode().IsRegular() {
			d.fault(area, file, "remove it", "it is no file of Dubnium's: %v", errors.Join(err, kindOf(info)))
			continue
		}
		want := fs.FileMode(0o444)
		if private[name] {
			want = 0
		}
		if remedy, message := owned(info, want); message != "" {
			d.fault(area, file, remedy+" "+file, "%s", message)
		} else if private[name] && info.Mode().Perm()&0o077 != 0 {
			d.fault(area, file, "chmod 600 "+file, "others than root can open it, and hold transitions up: mode %v", info.Mode())
		}
	}
}

func kindOf(info fs.FileInfo) error {
	if info == nil {
		return nil
	}
	return fmt.Errorf("mode %v", info.Mode())
}

// state reads every state file.
func (d *doctor) state(context.Context) {
	const area = "state"
	before := len(d.list)
	_, desired, err := d.store.Desired()
	d.parsed(area, record.RunDir+"/desired", err)
	if err == nil && !desired {
		d.warn(area, record.RunDir+"/desired", "systemctl enable --now mode-boot.service", "no mode has been desired since boot")
	}
	_, _, err = d.store.Current()
	d.parsed(area, record.RunDir+"/current", err)
	_, _, err = d.store.Last()
	d.parsed(area, record.RunDir+"/last-transition.json", err)
	_, _, err = d.store.LastGuards()
	d.parsed(area, record.RunDir+"/last-guards.json", err)
	_, placed, err := d.store.Placement()
	d.parsed(area, record.RunDir+"/capability-placement.json", err)
	if err == nil && !placed {
		d.warn(area, record.RunDir+"/capability-placement.json", "systemctl enable --now mode-boot.service", "mode-boot.service has not written it")
	}
	marker, found, err := d.store.Marker()
	d.parsed(area, record.RunDir+"/transition.json", err)
	if lock, lockErr := d.store.Lock(); err == nil && found && lockErr == nil && !lock.Held {
		d.fault(area, record.RunDir+"/transition.json", "sudo mode reconcile, which closes the record and converges",
			"a transition to %s was cut off at %s, in the phase %q", marker.Requested, marker.Started, marker.Phase)
	}
	if len(d.list) == before {
		d.ok(area, record.RunDir, "every state file can be read")
	}
}

func (d *doctor) parsed(area, file string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission):
		d.warn(area, file, "run mode doctor as root", "%v", err)
	default:
		d.fault(area, file, "remove it: the next transition, or mode-boot.service, writes it again", "%v", err)
	}
}

// longHistory is the size from which a history is better rotated, in bytes.
const longHistory = 1 << 30

// recentHistory is what the doctor reads of the history unless it is asked for
// all, in bytes: thousands of transitions, in a tenth of a second.
const recentHistory = 32 << 20

// history reads the newest part of the history, or all of it.
func (d *doctor) history(ctx context.Context) {
	const area, file = "history", record.EventsFile
	info, err := d.env.Root.Stat(file)
	if err == nil && info.Size() > longHistory {
		d.warn(area, file, "rotate it: rename it while nobody needs it, Dubnium begins a new one", "it has %d MiB", info.Size()>>20)
	}
	most := int64(recentHistory)
	if d.full {
		most = math.MaxInt64
	}
	events := 0
	bad, left, err := d.store.NewestSums(most, func(record.Sum) error { events++; return ctx.Err() })
	read := ""
	if left > 0 {
		read = fmt.Sprintf("; of the %d MiB before them nothing was read, which mode doctor --full does", (left+1<<20-1)>>20)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.warn(area, file, "run mode doctor as root", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		d.warn(area, file, "run mode doctor without --full, or rotate it", "%d events can be read; for more there was no time in %v", events, patience)
	case err != nil:
		d.fault(area, file, "see that it is a file on a disk that works", "%v", err)
	case bad > 0:
		d.warn(area, file, "nothing is lost by it; grep -nv '^{.*}$' finds them", "%d of its lines are torn or foreign, beside %d events%s", bad, events, read)
	default:
		d.ok(area, file, "%d events can be read%s", events, read)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := d.store.CanAppend(); err != nil {
		d.fault(area, file, "make room on its file system: no transition starts that can't be recorded", "%v", err)
	}
}

// lock looks whether a controller holds transitions up.
func (d *doctor) lock(context.Context) {
	const area = "lock"
	l, err := d.store.Lock()
	switch {
	case err != nil:
		d.fault(area, record.LockFile, "see that /proc/locks can be read", "%v", err)
		return
	case !l.Held:
		d.ok(area, record.LockFile, "nobody holds it")
		return
	}
	name := "a process that this one can't see"
	if p, alive, err := procinfo.Stat(d.env.Root, l.PID); err == nil && alive {
		name = fmt.Sprintf("%s (pid %d)", p.Comm, l.PID)
	} else {
		d.fault(area, record.LockFile, "fuser -v "+record.LockFile+" names who has it open", "it is held by %s; its record names the pid %d", name, l.PID)
		return
	}
	since, err := time.Parse(time.RFC3339, l.Since)
	if bound := plan.Longest(d.cfg); err == nil && time.Since(since) > bound {
		d.fault(area, record.LockFile, "journalctl -u 'mode-controller@*' -b says where it stands; systemctl stop 'mode-controller@*' ends it",
			"%s has held it since %s, longer than the %v that a transition and its way back may take", name, l.Since, bound)
		return
	}
	d.ok(area, record.LockFile, "%s holds it for a transition to %s", name, l.Target)
}

// remedies for sources, by what is in their names.
var remedies = []struct{ source, remedy string }{
	{"org.freedesktop.login1", "systemctl status systemd-logind.service"},
	{"org.freedesktop.systemd1", "systemctl status dbus.service"},
	{"audio", "see that the person's PipeWire answers: systemctl --user status pipewire-pulse.service"},
	{"gpu", "run observe-gpu, which says why"},
}

// sources looks at everything that evidence comes from.
func (d *doctor) sources(ctx context.Context) {
	const area = "sources"
	before := len(d.list)
	for file, why := range map[string]string{
		"/sys/fs/cgroup/cgroup.controllers": "boot with the unified hierarchy (systemd.unified_cgroup_hierarchy=1): cgroup v2 is needed",
		"/proc/pressure/cpu":                "boot with psi=1, on a kernel with CONFIG_PSI: check_cpu_load_safe needs it",
		"/proc/locks":                       "boot a kernel with CONFIG_FILE_LOCKING",
		"/proc/meminfo":                     "mount /proc",
	} {
		if _, err := d.env.Root.ReadFile(file); err != nil {
			d.fault(area, file, why, "%v", err)
		}
	}
	o := survey.Observe(ctx, d.env.Root, d.cfg, 0)
	for _, e := range o.InspectionErrors {
		remedy := "see that it can be read, as root where people's processes are concerned"
		for _, r := range remedies {
			if strings.Contains(e.Source, r.source) {
				remedy = r.remedy
			}
		}
		if os.Geteuid() != 0 {
			d.warn(area, e.Source, "run mode doctor as root", "%s", e.Message)
			continue
		}
		d.fault(area, e.Source, remedy, "%s", e.Message)
	}
	if len(d.list) == before {
		d.ok(area, "evidence", "D-Bus, logind, systemd, /proc, cgroups, PSI and the audio servers answer; observed is %s", o.State)
	}
}

// gpus asks the driver, where the configuration has GPUs.
func (d *doctor) gpus(ctx context.Context) {
	const area = "gpus"
	present := d.cfg.Hardware.PresentGPUs
	if len(present) == 0 {
		d.ok(area, "NVML", "no GPU is configured")
		return
	}
	binary, err := gpu.Program()
	var report gpu.Report
	if err == nil {
		report, err = gpu.Ask(ctx, d.env.Root, binary, d.cfg.GPU.NVMLLibrary)
	}
	switch {
	case err != nil:
		d.fault(area, "NVML", reinstall, "%v", err)
		return
	case report.Reason != gpu.OK:
		d.fault(area, "NVML", "nvidia-smi should list the GPUs; where the library lies elsewhere, set gpu.nvmlLibrary", "%s: %s", report.Reason, report.Message)
		return
	}
	for _, index := range present {
		if g, found := report.Find(index); !found {
			d.fault(area, fmt.Sprintf("GPU %d", index), "correct hardware.presentGpus, or see why the driver does not list it (dmesg)", "the driver does not list it; it lists %d GPUs", len(report.GPUs))
		} else {
			d.ok(area, fmt.Sprintf("GPU %d", index), "%s", g.Name)
		}
	}
}

// metricsFolder looks whether the figures for Prometheus go anywhere.
func (d *doctor) metricsFolder(context.Context) {
	const area = "metrics"
	file := d.cfg.Metrics.Textfile
	if file == "" {
		d.ok(area, "textfile", "none is configured")
		return
	}
	_, err := d.env.Root.Stat(path.Dir(file))
	switch {
	case err == nil:
		d.ok(area, file, "node_exporter's folder is there")
	case hostfs.Absent(err):
		d.ok(area, file, "its folder is not there: nothing is written")
	default:
		d.warn(area, file, "see that root can reach it", "%v", err)
	}
}
