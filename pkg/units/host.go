package units

import (
	"fmt"
	"path"
	"strings"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/record"
)

// sysusers is the text for systemd-sysusers.
func sysusers() string {
	return "# " + Header + "\n" +
		"# The operators: polkit lets this group start mode-controller@.service, and nothing else of root's.\n" +
		"g " + config.OperatorsGroup + " - -\n" +
		"# Owns the memories of the agents, and their private database.\n" +
		"u " + MemoryUser + " - \"Dubnium memory service\" " + config.MemoryDirectory + "\n"
}

// folder is a folder that is there from the start of the machine.
type folder struct {
	path string
	why  string
}

// folders are all of root's, and readable by everyone: nothing in them is a
// secret.
func folders(cfg config.Config) []folder {
	return []folder{
		{record.RunDir, "What is asked for, what is observed, the lock, the last results."},
		{record.StateDir, "The history of all transitions."},
		{path.Dir(config.ModelsDirectory), "Data of Dubnium's workloads."},
		{config.ModelsDirectory, "Model bundles, put there by the operator."},
		{cfg.Rooms.Directory, "Images of rooms, put there by the operator."},
		{cfg.Rooms.Vault, "The vault: all that rooms see of this machine, as far as each is given it."},
		{path.Dir(config.DefaultPath), "The configuration."},
		{cfg.Guards.SiteDirectory, "The site's own guards, in a folder for each mode."},
	}
}

// plainPath holds the characters that mean themselves to systemd-tmpfiles.
const plainPath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_+:@-"

// tmpfiles is the text for systemd-tmpfiles.
func tmpfiles(folders []folder) (string, error) {
	var b strings.Builder
	b.WriteString("# " + Header + "\n")
	for _, f := range folders {
		if !path.IsAbs(f.path) || path.Clean(f.path) != f.path || strings.Trim(f.path, plainPath) != "" {
			return "", fmt.Errorf("folder %q is not an absolute path of letters, digits and ./_+:@-", f.path)
		}
		fmt.Fprintf(&b, "# %s\n", f.why)
		fmt.Fprintf(&b, "d %s 0755 root root -\n", f.path)
	}
	return b.String(), nil
}
