package jobs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// users reads the names of the users that the machine itself knows. Those of a
// directory service have none here, which costs a message its name and nothing
// else.
func users(root hostfs.Root) (map[int]string, error) {
	data, err := root.ReadFile("/etc/passwd")
	if hostfs.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the names of users: %w", err)
	}
	return parseUsers(string(data)), nil
}

// parseUsers takes NAME:x:UID:... lines and passes over all others. Of two
// names for one number the first counts, as it does to the C library.
func parseUsers(text string) map[int]string {
	names := map[int]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(line, ":", 4)
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			continue
		}
		if _, taken := names[int(uid)]; !taken {
			names[int(uid)] = fields[0]
		}
	}
	return names
}
