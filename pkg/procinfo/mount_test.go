package procinfo

import (
	"os"
	"testing"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

const mountTable = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 0:20 / /proc rw - proc proc rw
30 21 8:2 / /srv/with\040space ro,relatime - xfs /dev/sdb1 rw
31 21 8:3 / /var/lib rw,relatime shared:3 - btrfs /dev/sdc rw,ssd
32 31 8:4 / /var/lib/models rw shared:4 master:2 - squashfs /dev/loop0 ro
33 21 8:5 / /mnt ro - ext4 /dev/sdd rw
34 33 8:6 / /mnt rw - ext4 /dev/sde rw
`

func TestMountedReadOnly(t *testing.T) {
	root := hostfs.Root(t.TempDir())
	if err := os.MkdirAll(root.Path("/proc/1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root.Path("/proc/1/mountinfo"), []byte(mountTable), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{
		"/": false, "/etc": false, "/var/lib": false, "/var/libx": false, "/var/lib/models/a": true,
		"/srv/with space/x": true, "/srv": false, "/mnt/x": false, // covered by a later mount
	}
	for name, want := range tests {
		got, known, err := MountedReadOnly(root, 1, name)
		if err != nil || !known || got != want {
			t.Errorf("%s: read-only %v, known %v, %v; want %v", name, got, known, err, want)
		}
	}
	if _, _, err := MountedReadOnly(root, 2, "/"); err == nil {
		t.Error("the mounts of a process that there is not were read")
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte(mountTable))
	f.Add([]byte("1 2 3"))
	f.Fuzz(func(t *testing.T, data []byte) {
		mounts, err := parseMounts(data)
		if err != nil && mounts != nil {
			t.Errorf("%d mounts and %v", len(mounts), err)
		}
	})
}
