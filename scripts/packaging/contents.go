package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// entry is a file of the package, in nfpm's words.
type entry struct {
	Source      string    `json:"src,omitempty"`
	Destination string    `json:"dst"`
	Type        string    `json:"type,omitempty"`
	Info        *fileInfo `json:"file_info,omitempty"`
}

type fileInfo struct {
	Mode fs.FileMode `json:"mode"`
}

// own are the folders that nobody else has, with all below them; the others
// belong to the distribution, which alone says what their modes are.
var own = []string{"/etc/dubnium", "/usr/share/dubnium", "/usr/share/doc/dubnium"}

// contents prints the last lines of nfpm's configuration: every file below
// root, with a mode that owes nothing to this machine's umask, and the
// configuration as one that is kept. The maintainer scripts of the format, deb
// or rpm, are filled into dir.
func contents(out io.Writer, format, root, dir string) error {
	var list []entry
	var units, installable []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		if d.IsDir() {
			// rpm, unlike dpkg, takes away no folder that is not in its list.
			if slices.ContainsFunc(own, func(top string) bool { return name == top || strings.HasPrefix(name, top+"/") }) {
				list = append(list, entry{Destination: name, Type: "dir", Info: &fileInfo{0o755}})
			}
			return nil
		}
		e := entry{Source: path, Destination: name}
		switch {
		case d.Type() == fs.ModeSymlink:
			if e.Source, err = linkTarget(path, name); err != nil {
				return err
			}
			e.Type = "symlink"
			e.Info = &fileInfo{0o777}
		case strings.HasPrefix(name, "/etc/"):
			e.Type = "config|noreplace"
			e.Info = &fileInfo{0o644}
		default:
			info, err := d.Info()
			if err != nil {
				return err
			}
			e.Info = &fileInfo{0o644 | info.Mode()&0o111}
			if format == "rpm" {
				e.Type = flag(name)
			}
		}
		list = append(list, e)
		if !strings.Contains(name, "/systemd/system/") {
			return nil
		}
		units = append(units, filepath.Base(name))
		data, err := os.ReadFile(path)
		if slices.Contains(strings.Split(string(data), "\n"), "[Install]") {
			installable = append(installable, filepath.Base(name))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list the files of the package: %w", err)
	}
	if len(installable) == 0 {
		return fmt.Errorf("no unit below %s can be enabled: is it what scripts/install laid out?", root)
	}
	fill := strings.NewReplacer("@UNITS@", strings.Join(units, " "), "@INSTALLABLE@", strings.Join(installable, " "))
	if err := maintainer(dir, format, fill); err != nil {
		return err
	}
	data, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "contents: %s\n", data)
	return err
}

// linkTarget is where the link at path leads, as Debian wants it: from the
// folder of name, so that it holds below any root.
func linkTarget(path, name string) (string, error) {
	to, err := os.Readlink(path)
	if err != nil || !filepath.IsAbs(to) {
		return to, err
	}
	return filepath.Rel(filepath.Dir(name), to)
}

// flag is what rpm calls a file that is not for running.
func flag(name string) string {
	switch {
	case filepath.Base(name) == "copyright":
		return "license"
	case strings.HasPrefix(name, "/usr/share/doc/"), strings.HasPrefix(name, "/usr/share/man/"):
		return "doc"
	}
	return ""
}

// maintainer fills the scripts that a package manager runs: what hosts are told
// is the same everywhere, and the units come from the files.
func maintainer(dir, format string, fill *strings.Replacer) error {
	host, err := os.ReadFile("scripts/packaging/host.sh")
	if err != nil {
		return err
	}
	templates, err := filepath.Glob("scripts/packaging/" + format + "/*")
	if err != nil {
		return err
	}
	if len(templates) == 0 {
		return fmt.Errorf("no maintainer scripts for the format %s: deb or rpm", format)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range templates {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(fill.Replace(strings.Replace(string(text), "@HOST@", strings.TrimSpace(string(host)), 1))), 0o755); err != nil {
			return err
		}
	}
	return nil
}
