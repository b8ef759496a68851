package gpu

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// tree makes the files of a fixture machine; a content that begins with "-> "
// makes a symbolic link.
func tree(t testing.TB, files map[string]string) hostfs.Root {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		target, link := strings.CutPrefix(content, "-> ")
		err := error(nil)
		switch {
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return hostfs.Root(root)
}

// pci gives the files of a PCI display device.
func pci(files map[string]string, address, class, vendor, driver, power string) {
	dir := "sys/devices/pci0000:00/0000:00:03.1/" + address
	files["sys/bus/pci/devices/"+address] = "-> ../../../../" + dir
	files[dir+"/class"], files[dir+"/vendor"] = class+"\n", vendor+"\n"
	if power != "" {
		files[dir+"/power/runtime_status"] = power + "\n"
	}
	if driver != "" {
		files[dir+"/driver"] = "-> ../../../../bus/pci/drivers/" + driver
	}
}

// drm gives the files of a DRM node behind a device.
func drm(files map[string]string, name, dev, device string) {
	files[device+"/drm/"+name+"/dev"] = dev + "\n"
	files[device+"/drm/"+name+"/device"] = "-> ../.."
	files["sys/class/drm/"+name] = "-> ../../../" + device + "/drm/" + name
}

func TestCards(t *testing.T) {
	files := map[string]string{"sys/class/drm/version": "drm 1.1.0 20060810\n"}
	pci(files, "0000:01:00.0", "0x030000", "0x10de", "nvidia", "active")
	pci(files, "0000:02:00.0", "0x030200", "0x10de", "nvidia", "suspended")
	pci(files, "0000:03:00.0", "0x030000", "0x1002", "amdgpu", "active")
	pci(files, "0000:04:00.0", "0x038000", "0x1af4", "virtio-pci", "")
	pci(files, "0000:05:00.0", "0x040300", "0x10de", "snd_hda_intel", "active")
	pci(files, "0000:06:00.0", "0x030000", "0x8086", "", "unsupported")
	const bus = "sys/devices/pci0000:00/0000:00:03.1/"
	files[bus+"0000:01:00.0/boot_vga"], files[bus+"0000:03:00.0/boot_vga"] = "0\n", "1\n"
	drm(files, "card0", "226:0", bus+"0000:03:00.0")
	drm(files, "renderD128", "226:128", bus+"0000:03:00.0")
	drm(files, "card1", "226:1", bus+"0000:01:00.0")
	drm(files, "card2", "226:2", bus+"0000:04:00.0/virtio0")
	drm(files, "card3", "226:3", "sys/devices/platform/vkms")
	drm(files, "renderD131", "226:131", "sys/devices/platform/vkms")
	files["sys/class/drm/card0-HDMI-A-1/status"] = "connected\n"

	yes, no := true, false
	want := []Card{
		{Nodes: []Node{{"card3", 226, 3}, {"renderD131", 226, 131}}},
		{PCI: "0000:01:00.0", Class: "0x030000", Vendor: NVIDIA, Driver: "nvidia", RuntimeStatus: "active", BootVGA: &no, Nodes: []Node{{"card1", 226, 1}}},
		{PCI: "0000:02:00.0", Class: "0x030200", Vendor: NVIDIA, Driver: "nvidia", RuntimeStatus: "suspended"},
		{PCI: "0000:03:00.0", Class: "0x030000", Vendor: AMD, Driver: "amdgpu", RuntimeStatus: "active", BootVGA: &yes, Nodes: []Node{{"card0", 226, 0}, {"renderD128", 226, 128}}},
		{PCI: "0000:04:00.0", Class: "0x038000", Vendor: "1af4", Driver: "virtio-pci", Nodes: []Node{{"card2", 226, 2}}},
		{PCI: "0000:06:00.0", Class: "0x030000", Vendor: Intel, RuntimeStatus: "unsupported"},
	}
	got, err := Cards(tree(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var names []string
	for _, c := range got {
		names = append(names, fmt.Sprintf("%s asleep=%v", c, c.Asleep()))
	}
	wantNames := []string{
		"card3, renderD131 asleep=false", "NVIDIA 0000:01:00.0 (card1) asleep=false", "NVIDIA 0000:02:00.0 asleep=true",
		"AMD 0000:03:00.0 (card0, renderD128) asleep=false", "1af4 0000:04:00.0 (card2) asleep=false", "Intel 0000:06:00.0 asleep=false",
	}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoCards(t *testing.T) {
	if got, err := Cards(hostfs.Root(t.TempDir())); len(got) != 0 || err != nil {
		t.Errorf("a machine without a bus has %v, %v", got, err)
	}
}

func TestCardsThatCantBeRead(t *testing.T) {
	tests := map[string]struct {
		change func(root hostfs.Root) error
		want   string
	}{
		"a FIFO for a power state": {func(root hostfs.Root) error {
			name := root.Path("/sys/bus/pci/devices/0000:01:00.0/power/runtime_status")
			if err := os.Remove(name); err != nil {
				return err
			}
			return unix.Mkfifo(name, 0o600)
		}, "not a regular file"},
		"garbled numbers": {func(root hostfs.Root) error {
			return os.WriteFile(root.Path("/sys/class/drm/card1/dev"), []byte("226\n"), 0o600)
		}, "want a major and a minor"},
		"a huge class": {func(root hostfs.Root) error {
			return os.WriteFile(root.Path("/sys/bus/pci/devices/0000:01:00.0/class"), make([]byte, 1<<20), 0o600)
		}, "larger than"},
		"a file for the bus": {func(root hostfs.Root) error {
			if err := os.RemoveAll(root.Path("/sys/bus/pci/devices")); err != nil {
				return err
			}
			return os.WriteFile(root.Path("/sys/bus/pci/devices"), nil, 0o600)
		}, "devices"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			pci(files, "0000:01:00.0", "0x030000", "0x10de", "nvidia", "active")
			drm(files, "card1", "226:1", "sys/devices/pci0000:00/0000:00:03.1/0000:01:00.0")
			root := tree(t, files)
			if err := test.change(root); err != nil {
				t.Fatal(err)
			}
			if got, err := Cards(root); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, error %v, want one with %q", got, err, test.want)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"00000000:01:00.0": "0000:01:00.0", "0000:0A:00.0": "0000:0a:00.0", " 0001:02:03.4\n": "0001:02:03.4",
		"00010000:01:00.0": "00010000:01:00.0", "": "", "x": "x",
	} {
		if got := Address(in); got != want {
			t.Errorf("Address(%q) = %q, want %q", in, got, want)
		}
	}
}

const twoGPUs = `{"schema_version":1,"reason":"ok","driver_version":"570.86.10","gpus":[
 {"index":0,"uuid":"GPU-a","pci":"0000:01:00.0","reason":"ok","memory_used_mib":512,"memory_total_mib":24564,"display_active":true,
  "processes":[{"pid":4242,"comm":"Hyprland","kind":"graphics","used_mib":300}],"garbage_pids":2,"of_the_future":[1]},
 {"index":1,"reason":"suspended","processes":[]}],"cards":[{"pci":"0000:01:00.0","vendor":"10de"}]}`

func TestDecode(t *testing.T) {
	number := func(n uint64) *uint64 { return &n }
	on := true
	want := Report{
		SchemaVersion: 1, Reason: OK, DriverVersion: "570.86.10",
		GPUs: []GPU{
			{
				Index: 0, UUID: "GPU-a", PCI: "0000:01:00.0", Reason: OK, MemoryUsedMiB: number(512), MemoryTotalMiB: number(24564),
				DisplayActive: &on, Processes: []Process{{4242, "Hyprland", Graphics, number(300)}}, GarbagePIDs: 2,
			},
			{Index: 1, Reason: Suspended, Processes: []Process{}},
		},
		Cards: []Card{{PCI: "0000:01:00.0", Vendor: NVIDIA}},
	}
	got, err := Decode([]byte(twoGPUs))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if g, ok := got.Find(1); !ok || g.Has("memory") {
		t.Errorf("GPU 1 is %+v, %v: nothing was read of a suspended one", g, ok)
	}
	if g, _ := got.Find(0); !g.Has("memory") || g.Has("memory") == (GPU{Missing: []string{"memory"}}).Has("memory") {
		t.Error("what is missing is not there, what is not missing is")
	}
	if _, ok := got.Find(7); ok {
		t.Error("there is no GPU 7")
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"nothing":            {"", "unexpected end"},
		"another document":   {`{"guard":"x"}`, "schema_version 0"},
		"another version":    {`{"schema_version":2,"reason":"ok"}`, "schema_version 2"},
		"no reason":          {`{"schema_version":1}`, "reason is missing"},
		"a GPU twice":        {`{"schema_version":1,"reason":"ok","gpus":[{"index":1,"reason":"ok"},{"index":1,"reason":"ok"}]}`, "there twice"},
		"a negative index":   {`{"schema_version":1,"reason":"ok","gpus":[{"index":-1,"reason":"ok"}]}`, "negative"},
		"a GPU no reason":    {`{"schema_version":1,"reason":"ok","gpus":[{"index":0}]}`, "reason is missing"},
		"a pid that is 0":    {`{"schema_version":1,"reason":"ok","gpus":[{"index":0,"reason":"ok","processes":[{"pid":0}]}]}`, "pid 0"},
		"two documents":      {twoGPUs + twoGPUs, "after top-level value"},
		"a string of memory": {`{"schema_version":1,"reason":"ok","gpus":[{"index":0,"reason":"ok","memory_used_mib":"many"}]}`, "cannot unmarshal"},
		"too many GPUs":      {`{"schema_version":1,"reason":"ok","gpus":[` + strings.TrimSuffix(strings.Repeat(`{},`, 65), ",") + `]}`, "65 GPUs"},
		"too much":           {`"` + strings.Repeat("x", maxReport), "want at most"},
	} {
		if _, err := Decode([]byte(test.in)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(twoGPUs))
	f.Add([]byte(`{"schema_version":1,"reason":"of the future","gpus":[{"index":3,"reason":"x","processes":[{"pid":1}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("what was decoded can't be decoded again: %v", err)
		}
		if last, _ := json.Marshal(back); string(last) != string(again) {
			t.Errorf("%s became %s", again, last)
		}
		for _, g := range r.GPUs {
			if _, ok := r.Find(g.Index); !ok {
				t.Errorf("GPU %d can't be found", g.Index)
			}
		}
	})
}

func FuzzParseDev(f *testing.F) {
	for _, s := range []string{"226:128\n", "226:", ":", "4096:0", "0:1048576"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if major, minor, err := parseDev(data); err == nil && (major > 1<<12-1 || minor > 1<<20-1) {
			t.Errorf("%q gave %d:%d", data, major, minor)
		}
	})
}

// TestProgress holds what is reported when NVML hangs half-way.
func TestProgress(t *testing.T) {
	var p Progress
	p.At("nvmlInit")
	if r := p.Report(); r.Reason != Timeout || r.Message != "nvmlInit has not returned" || r.GPUs == nil {
		t.Errorf("before anything: %+v", r)
	}
	p.Driver("1.2")
	p.Put(GPU{Index: 0, Reason: OK})
	p.Put(GPU{Index: 1})
	p.Put(GPU{Index: 1, UUID: "GPU-b"})
	p.At("nvmlDeviceGetMemoryInfo")
	want := Report{
		SchemaVersion: 1, Reason: Timeout, Message: "nvmlDeviceGetMemoryInfo has not returned", DriverVersion: "1.2", Cards: []Card{},
		GPUs: []GPU{
			{Index: 0, Reason: OK, Processes: []Process{}},
			{Index: 1, UUID: "GPU-b", Reason: Timeout, Message: "nvmlDeviceGetMemoryInfo has not returned", Processes: []Process{}},
		},
	}
	if diff := cmp.Diff(want, p.Report()); diff != "" {
		t.Errorf("half-way (-want +got):\n%s", diff)
	}
	p.End(OK, "")
	if r := p.Report(); r.Reason != OK {
		t.Errorf("at the end: %+v", r)
	}
}

func TestMemoryOfAGPU(t *testing.T) {
	number := func(n uint64) *uint64 { return &n }
	for name, tt := range map[string]struct {
		g            GPU
		free, usable uint64
		ok           bool
	}{
		"with what the driver keeps": {GPU{Reason: OK, MemoryUsedMiB: number(100), MemoryTotalMiB: number(1000), MemoryReservedMiB: number(50)}, 850, 950, true},
		"of an old driver":           {GPU{Reason: OK, MemoryUsedMiB: number(100), MemoryTotalMiB: number(1000)}, 900, 1000, true},
		"full":                       {GPU{Reason: OK, MemoryUsedMiB: number(1000), MemoryTotalMiB: number(1000), MemoryReservedMiB: number(50)}, 0, 950, true},
		"absurd":                     {GPU{Reason: OK, MemoryUsedMiB: number(1), MemoryTotalMiB: number(10), MemoryReservedMiB: number(50)}, 0, 0, true},
		"not read":                   {GPU{Reason: Partial, Missing: []string{"memory"}}, 0, 0, false},
		"asleep":                     {GPU{Reason: Suspended}, 0, 0, false},
	} {
		if free, usable, ok := tt.g.FreeMiB(); free != tt.free || usable != tt.usable || ok != tt.ok {
			t.Errorf("%s: %d of %d, %v", name, free, usable, ok)
		}
	}
	g := GPU{Reason: OK, MemoryTotalMiB: number(1000), Processes: []Process{
		{1, "a", Graphics, number(10)},
		{2, "b", Compute, nil},
		{1, "a", Compute, number(30)},
		{1, "a", MPS, nil},
		{3, "c", Compute, number(1001)},
		{2, "b", MPS, number(5)},
	}}
	want := []Use{{1, "a", number(30)}, {2, "b", number(5)}, {3, "c", nil}}
	if diff := cmp.Diff(want, g.Uses()); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
}

func TestProgramIsBesideTheOneThatRuns(t *testing.T) {
	got, err := Program()
	if err != nil || filepath.Base(got) != Binary || filepath.Dir(got) != filepath.Dir(os.Args[0]) {
		t.Errorf("%q, %v; this is %s", got, err, os.Args[0])
	}
}
