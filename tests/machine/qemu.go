package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// QEMUOptions say what is on the virtual machine and what runs in it.
type QEMUOptions struct {
	Overlay []string // as in Options
	BinDir  string   // as in Options
	Files   []File   // as in Options
	// Script is a bash script that runs as root once multi-user.target is reached; the machine ends
	// with it. /usr/lib/dubnium-test/lib.bash has functions for it.
	Script string
	// GPUs is the number of virtio graphics cards, /dev/dri/card0 and on. Their nodes can appear
	// after the boot is finished.
	GPUs       int
	KernelArgs []string
	Timeout    time.Duration // 6 minutes unless set
}

// QEMU boots a virtual machine, runs the script in it and returns what that did: its exit status,
// and in Stdout all that it printed, which the test's log has line by line as it came. A machine that
// doesn't come to the script's end fails the test; the script's own failure is the caller's to judge,
// after the console has been logged.
//
// It is emulated: /dev/kvm may be there and still not run Debian's kernel. A boot takes 20 s and up,
// so have few of them. The desktop is greetd's, which the script starts; display-manager.service is
// another name of it. Its first session is sway as tester, later ones are a greeter (cage), both on card0.
func QEMU(ctx context.Context, t testing.TB, opts QEMUOptions) Result {
	t.Helper()
	r, console, err := runQEMU(ctx, t.Output(), opts)
	if err != nil {
		t.Fatalf("machine: %v; its console ends with:\n%s", err, tail(console, 40))
	}
	if r.Code != 0 {
		t.Logf("machine: the virtual machine's console ends with:\n%s", tail(console, 40))
	}
	return r
}

// runQEMU tells progress what the script prints, as it comes.
func runQEMU(ctx context.Context, progress io.Writer, opts QEMUOptions) (r Result, console string, err error) {
	r = Result{Args: []string{"script in QEMU"}, Code: -1}
	tree, kernel, err := findQEMU(ctx)
	if err != nil {
		return r, "", err
	}
	sweep()
	unlock, err := shareLock(tree)
	if err != nil {
		return r, "", err
	}
	defer unlock()
	scratch, err := newScratch(newName())
	if err != nil {
		return r, "", err
	}
	defer os.RemoveAll(scratch)
	disks, err := packDisks(ctx, scratch, tree, opts)
	if err != nil {
		return r, "", err
	}

	if opts.Timeout == 0 {
		opts.Timeout = 6 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	start := time.Now()
	var out, trouble bytes.Buffer
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", qemuArgs(scratch, kernel, disks, opts)...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, progress), &trouble
	runErr := runTied(cmd)
	r.Duration, r.Stdout = time.Since(start), out.String()
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(scratch, name)) // what isn't there was never written
		return string(b)
	}
	console = read("console")
	if ctx.Err() != nil {
		return r, console, fmt.Errorf("run a virtual machine: out of time after %.0f s: %w", r.Duration.Seconds(), context.Cause(ctx))
	}
	if runErr != nil {
		return r, console, fmt.Errorf("run qemu-system-x86_64: %w: %s", runErr, trouble.String())
	}
	if r.Code, err = strconv.Atoi(strings.TrimSpace(read("status"))); err != nil {
		return r, console, errors.New("run a virtual machine: it went down before the script's end")
	}
	return r, console, nil
}

func findQEMU(ctx context.Context) (tree, kernel string, err error) {
	if tree, err = findTree(ctx); err != nil {
		return "", "", err
	}
	for _, program := range []string{"qemu-system-x86_64", "mksquashfs"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", "", fmt.Errorf("find %s: %w: run `make setup`", program, err)
		}
	}
	kernel, err = built(ctx, "build-kernel")
	return tree, kernel, err
}

// packDisks makes a disk of each layer, unpacked it would have to be copied.
func packDisks(ctx context.Context, scratch, tree string, opts QEMUOptions) (disks []string, err error) {
	const units = "/usr/lib/systemd/system/"
	layers, err := stage(scratch, tree, []File{
		{Path: units + "dubnium-script.service", Content: embedded("dubnium-script.service")},
		{Path: "/usr/lib/dubnium-test/lib.bash", Content: embedded("lib.bash")},
		{Path: "/usr/lib/dubnium-test/script", Content: opts.Script},
		{Path: "/etc/greetd/config.toml", Content: embedded("greetd.toml")},
		{Path: "/etc/systemd/system/display-manager.service", Link: units + "greetd.service"},
	}, Options{Overlay: opts.Overlay, BinDir: opts.BinDir, Files: opts.Files})
	if err != nil {
		return nil, err
	}
	disks = []string{filepath.Join(tree, "rootfs.sqsh")}
	for i, layer := range layers[1:] {
		disk := filepath.Join(scratch, fmt.Sprintf("layer%d.sqsh", i))
		cmd := exec.CommandContext(ctx, "mksquashfs", layer, disk, "-no-xattrs", "-noI", "-noD", "-noF", "-noX", "-quiet", "-no-progress")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("pack %s as a disk: %w: %s", layer, err, out)
		}
		disks = append(disks, disk)
	}
	return disks, nil
}

// qemuArgs: one processor, as with two, emulated in threads, Debian's kernel panics every so often
// while it patches its own code; without -cx16 it panics in cmpxchg16b too. Without -nodefaults
// there would be a VGA card more.
func qemuArgs(scratch, kernel string, disks []string, opts QEMUOptions) []string {
	words := []string{
		"console=ttyS0", "quiet", "loglevel=3", "mitigations=off", "panic=-1", "audit=0", "net.ifnames=0",
		"layers=" + strconv.Itoa(len(disks)), "systemd.show_status=0", "systemd.unit=multi-user.target",
		"systemd.wants=dubnium-script.service", "systemd.mask=serial-getty@ttyS0.service",
		"systemd.mask=getty.target", "systemd.mask=systemd-udev-settle.service",
	}
	for _, unit := range masked {
		words = append(words, "systemd.mask="+unit)
	}
	args := []string{
		"-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "Nehalem,-cx16", "-smp", "1", "-m", "2048",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", filepath.Join(kernel, "initrd"),
		"-append", strings.Join(append(words, opts.KernelArgs...), " "),
		"-serial", "file:" + filepath.Join(scratch, "console"),
		"-device", "virtio-keyboard-pci", "-device", "virtio-mouse-pci", "-device", "virtio-serial-pci",
	}
	// The script's output goes where QEMU's own goes: as a file, since a stdio device that reads the
	// end of its input hangs up on the guest.
	for port, path := range map[string]string{"output": "/dev/stdout", "status": filepath.Join(scratch, "status")} {
		args = append(args, "-chardev", "file,id="+port+",path="+path, "-device", "virtserialport,chardev="+port+",name=dubnium."+port)
	}
	for range opts.GPUs {
		args = append(args, "-device", "virtio-gpu-pci")
	}
	for i, disk := range disks {
		id := "disk" + strconv.Itoa(i)
		args = append(args, "-drive", "if=none,format=raw,readonly=on,id="+id+",file="+disk, "-device", "virtio-blk-pci,drive="+id)
	}
	return args
}

// runTied runs a command that is killed when this process is; the signal is the starting thread's,
// so that thread is kept.
func runTied(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- cmd.Run()
	}()
	return <-done
}
