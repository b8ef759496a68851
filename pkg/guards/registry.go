// Package guards holds the guards, one file each: what it asks, what it looks
// at, and how it decides. Adding a guard is adding a file here and running
// make generate, which puts it into the list and writes its main package and
// its documentation.
//
// A guard is a variable that nothing but the list and its own main refers to,
// so that a guard's program holds none of the others.
package guards

import (
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/guard"
)

// All lists the guards, sorted by name.
func All() []guard.Descriptor { return all() }

// Find gives the guard of a name, with or without its check_.
func Find(name string) (guard.Descriptor, bool) {
	name = strings.TrimPrefix(name, "check_")
	list := all()
	i := slices.IndexFunc(list, func(d guard.Descriptor) bool { return d.Name == name })
	if i < 0 {
		return guard.Descriptor{}, false
	}
	return list[i], true
}
