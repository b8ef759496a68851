package room

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// spec is what the launcher tells the room's first process.
type spec struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Env     []string `json:"env"`
	Network string   `json:"network"`
	Resolv  string   `json:"resolv"`  // of the machine, when the room has its network
	Vault   string   `json:"vault"`   // a path of the machine
	Binds   []bind   `json:"binds"`   // in the order in which they are mounted
	Nodes   []node   `json:"nodes"`   // beyond those that every room has
	Size    uint64   `json:"size"`    // of the overlay in bytes
	Scratch string   `json:"scratch"` // a folder that there is on every machine, to build below
}

// bind is a folder of the vault.
type bind struct {
	Path  string `json:"path"` // below the vault, and below /vault of the room
	Write bool   `json:"write"`
}

// node is a character device.
type node struct {
	Path string `json:"path"` // below /dev, without a leading slash
	Rdev uint64 `json:"rdev"`
}

// environment is all that a room's command knows of the launcher's.
func environment(name, term string) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
		"container=dubnium-room", "ROOM=" + name,
	}
	if term != "" {
		env = append(env, "TERM="+term)
	}
	return env
}

// maxResolv bounds the resolver's configuration, in bytes.
const maxResolv = 64 << 10

// specOf is what becomes of a room on this machine, as it is now.
func (h Host) specOf(name, term string) (spec, error) {
	r := h.Rooms.Named[name]
	s := spec{
		Name: name, Command: r.Command, Env: environment(name, term), Network: string(r.Network),
		Vault: h.Root.Path(h.Rooms.Vault), Binds: binds(r), Size: r.OverlaySize.Bytes(), Scratch: h.Root.Path("/run"),
	}
	if r.Network == config.NetworkHost {
		data, err := h.Root.ReadLimited("/etc/resolv.conf", maxResolv)
		if err != nil && !hostfs.Absent(err) {
			return spec{}, fmt.Errorf("read the resolver's configuration for %s: %w", key(name, "network"), err)
		}
		s.Resolv = string(data)
	}
	if r.GPU {
		nodes, err := gpuNodes(h.Root)
		if err != nil {
			return spec{}, err
		}
		if !slices.ContainsFunc(nodes, func(n node) bool { return n.Path == "nvidiactl" }) {
			return spec{}, refusef("%s is true, and this machine has no /dev/nvidiactl: load the NVIDIA driver first", key(name, "gpu"))
		}
		s.Nodes = nodes
	}
	return s, nil
}

// gpuNodes lists the device nodes of the NVIDIA driver that there are.
func gpuNodes(root hostfs.Root) ([]node, error) {
	var all []node
	for _, dir := range []string{"", "nvidia-caps"} {
		names, err := root.ReadDirNames(path.Join("/dev", dir))
		if err != nil && hostfs.Absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the NVIDIA devices: %w", err)
		}
		slices.Sort(names)
		for _, name := range names {
			if !strings.HasPrefix(name, "nvidia") {
				continue
			}
			var st unix.Stat_t
			if err := unix.Lstat(root.Path("/dev", dir, name), &st); err != nil {
				return nil, fmt.Errorf("look at an NVIDIA device: %w", &os.PathError{Op: "lstat", Path: path.Join("/dev", dir, name), Err: err})
			}
			if st.Mode&unix.S_IFMT == unix.S_IFCHR {
				all = append(all, node{Path: path.Join(dir, name), Rdev: st.Rdev})
			}
		}
	}
	return all, nil
}
