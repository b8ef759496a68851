package bus

import (
	"fmt"

	"github.com/godbus/dbus/v5"
)

// Props reads single values out of an object's properties and never fails: a
// property that is absent is its zero value, as an older service may lack it;
// one of another type than expected is its zero value too, and is reported by
// Problems, since the caller then knows less than it may think.
type Props struct {
	of       string
	values   map[string]dbus.Variant
	problems []error
}

// NewProps makes a reader of values; of names the object in problems.
func NewProps(of string, values map[string]dbus.Variant) *Props {
	return &Props{of: of, values: values}
}

// Value reads a property whose D-Bus type decodes to T.
func Value[T any](p *Props, name string) T {
	v, _ := Lookup[T](p, name)
	return v
}

// Essential is Value for a property that nothing can be said without: its
// absence is a problem too.
func Essential[T any](p *Props, name string) T {
	if _, found := p.values[name]; !found {
		p.problems = append(p.problems, fmt.Errorf("%s has no property %s", p.of, name))
	}
	return Value[T](p, name)
}

// Lookup is Value that also tells whether the property could be read.
func Lookup[T any](p *Props, name string) (value T, known bool) {
	variant, found := p.values[name]
	if !found {
		return value, false
	}
	if value, known = variant.Value().(T); !known {
		p.wrongType(name, variant.Value())
	}
	return value, known
}

// First reads the first member of a property that is a structure, as login1's
// (name, path) pairs are.
func First[T any](p *Props, name string) (first T) {
	variant, found := p.values[name]
	if !found {
		return first
	}
	if fields, ok := variant.Value().([]any); ok && len(fields) > 0 {
		if first, ok = fields[0].(T); ok {
			return first
		}
	}
	p.wrongType(name, variant.Value())
	return first
}

func (p *Props) wrongType(name string, value any) {
	p.problems = append(p.problems, fmt.Errorf("property %s of %s is %T, which is not the type it should have", name, p.of, value))
}

// Problems lists what could not be read, one error a property.
func (p *Props) Problems() []error { return p.problems }
