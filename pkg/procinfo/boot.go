package procinfo

import (
	"bytes"
	"fmt"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// BootID is the random id that the kernel drew at boot, 36 lower-case
// characters. Two ids that differ mean a reboot in between.
func BootID(root hostfs.Root) (string, error) {
	return parsed(root, "/proc/sys/kernel/random/boot_id", parseBootID)
}

// parseBootID wants the form 8-4-4-4-12 of hexadecimal digits.
func parseBootID(data []byte) (string, error) {
	id := bytes.ToLower(bytes.TrimSpace(data))
	if len(id) != 36 {
		return "", fmt.Errorf("%d characters, want the 36 of a UUID", len(id))
	}
	for i, c := range id {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		digit := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
		if dash != (c == '-') || !dash && !digit {
			return "", fmt.Errorf("character %d is %q, want a UUID", i+1, c)
		}
	}
	return string(id), nil
}
