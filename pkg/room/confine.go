package room

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept capabilities are what a system's own programs need to look after files
// and users below the room's root. None of them reaches beyond the room.
var capabilities = []uint{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID,
	unix.CAP_KILL, unix.CAP_NET_BIND_SERVICE, unix.CAP_SETGID, unix.CAP_SETUID,
}

// maxCapability is more than any kernel has.
const maxCapability = 63

// confine takes all other capabilities away from this process and all that it
// starts, for good. Every thread of the process has its own.
func confine() error {
	var mask uint64
	for _, c := range capabilities {
		mask |= 1 << c
	}
	for c := range uintptr(maxCapability + 1) {
		if mask&(1<<c) != 0 {
			continue
		}
		_, _, err := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0, 0)
		if err == unix.EINVAL && c > unix.CAP_LAST_CAP { // the kernel has no such capability
			break
		}
		if err != 0 && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d for good: %w", c, err)
		}
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := &[2]unix.CapUserData{
		{Effective: uint32(mask), Permitted: uint32(mask)},
		{Effective: uint32(mask >> 32), Permitted: uint32(mask >> 32)},
	}
	if _, _, err := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(sets)), 0); err != 0 {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if _, _, err := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); err != 0 {
		return fmt.Errorf("keep programs from gaining rights: %w", err)
	}
	// Read back: what is not as it should be here is not refused later.
	var have [2]unix.CapUserData
	if err := unix.Capget(header, &have[0]); err != nil {
		return fmt.Errorf("read the capabilities back: %w", err)
	}
	if have != *sets {
		return errors.New("drop capabilities: the kernel took the call, and they are not dropped")
	}
	return nil
}
