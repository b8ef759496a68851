package unitfile

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxName is the longest name of a unit in bytes, as systemd has it.
const maxName = 255

var unitTypes = []string{
	"automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer",
}

// CheckUnitName tells why name can't be the name of a unit: a plain one, a
// template or an instance.
func CheckUnitName(name string) error {
	stem, kind, _ := cutLast(name, ".")
	switch {
	case !slices.Contains(unitTypes, kind):
		return fmt.Errorf("unit name %q does not end with a type of unit, such as .service", name)
	case len(name) > maxName:
		return fmt.Errorf("unit name %q is longer than %d bytes", name, maxName)
	case stem == "" || strings.HasPrefix(stem, "@"):
		return fmt.Errorf("unit name %q has nothing before its type", name)
	case strings.Trim(stem, nameCharacters) != "":
		return fmt.Errorf("unit name %q holds something else than letters, digits and :-_.\\@", name)
	}
	return nil
}

const nameCharacters = `abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\@`

// checkFileName takes a unit's name or that of a drop-in.
func checkFileName(name string) error {
	folder, file, dropIn := strings.Cut(name, "/")
	if !dropIn {
		return CheckUnitName(name)
	}
	of, isFolder := strings.CutSuffix(folder, ".d")
	stem, isConf := strings.CutSuffix(file, ".conf")
	if !isFolder || !isConf || stem == "" || strings.Trim(stem, nameCharacters) != "" || path.Base(file) != file {
		return fmt.Errorf("file name %q is neither a unit's nor UNIT.d/NAME.conf", name)
	}
	return CheckUnitName(of)
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
