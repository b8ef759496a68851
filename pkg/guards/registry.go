// Package guards holds the guards, one file each: what it asks, what it looks
// at, and how it decides. Adding a guard is adding a file here and running
// make generate, which writes its main package and its documentation.
package guards

import (
	"slices"
	"strings"

	"github.com/ryjen/dubnium/pkg/guard"
)

// registry is filled by the package variables of the guards' files.
var registry []guard.Descriptor

func register(d guard.Descriptor) guard.Descriptor {
	registry = append(registry, d)
	return d
}

// All lists the guards, sorted by name.
func All() []guard.Descriptor {
	return slices.SortedFunc(slices.Values(registry), func(a, b guard.Descriptor) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// Find gives the guard of a name, with or without its check_.
func Find(name string) (guard.Descriptor, bool) {
	name = strings.TrimPrefix(name, "check_")
	i := slices.IndexFunc(registry, func(d guard.Descriptor) bool { return d.Name == name })
	if i < 0 {
		return guard.Descriptor{}, false
	}
	return registry[i], true
}
