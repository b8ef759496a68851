package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/mode"
)

// Type is the type of a key, in words that the documentation uses.
type Type string

// The types. A duration and a size are strings in the file.
const (
	TypeBoolean         Type = "boolean"
	TypeInteger         Type = "integer"
	TypeOptionalInteger Type = "integer or absent"
	TypeIntegers        Type = "list of integers"
	TypeString          Type = "string"
	TypeStrings         Type = "list of strings"
	TypeDuration        Type = "duration"
	TypeSize            Type = "size"
)

// Key documents one key.
type Key struct {
	Path    string   // with dots, as under the NixOS option dubnium; AnyName stands for a name of the user's own
	Type    Type     //
	Default string   // as TOML; empty when the key is absent by default
	Doc     string   // sentences in Markdown
	Enum    []string // the allowed values, or items of a list; nil when there are too many to name
	Range   string   // what else is allowed, in words; empty when every value of the type is
	Example string   // as TOML, different from Default
	// EmptyAllowed says that "" or [] is allowed and means "none".
	EmptyAllowed bool
	Required     bool // of a table of many: each has to set it, so that it has no default
	Min, Max     int  // of an integer or its items; both 0 for other types
}

// Section documents one table of the file.
type Section struct {
	Path string
	Doc  string // sentences in Markdown
	Keys []Key
}

// Reference lists every key in the order of the file.
func Reference() []Key {
	c := Default()
	var keys []Key
	for _, d := range definitions() {
		k := Key{
			Path: d.path, Type: d.typ(), Doc: d.doc, Enum: d.enum,
			Range: d.limits(), Example: d.example, EmptyAllowed: d.empty, Required: d.required, Min: d.min, Max: d.max,
		}
		if !d.required {
			k.Default = d.literal(&c)
		}
		keys = append(keys, k)
	}
	return keys
}

// Sections is Reference by table.
func Sections() []Section {
	keys := Reference()
	var all []Section
	for _, s := range sections() {
		section := Section{Path: s.path, Doc: s.doc}
		for _, k := range keys {
			if table, _ := split(k.Path); table == s.path {
				section.Keys = append(section.Keys, k)
			}
		}
		all = append(all, section)
	}
	return all
}

// typ is the key's type, taken from its field.
func (d definition) typ() Type {
	switch at := d.at(new(Config)).(type) {
	case *bool:
		return TypeBoolean
	case *int:
		return TypeInteger
	case **int:
		return TypeOptionalInteger
	case *[]int:
		return TypeIntegers
	case *string, *mode.Mode, *Runtime, *Placement, *RemoteSessions, *Embedder, *Network:
		return TypeString
	case *[]string:
		return TypeStrings
	case *Duration:
		return TypeDuration
	case *Size:
		return TypeSize
	default:
		panic(fmt.Sprintf("config: %s has a field of type %T, which the file cannot hold", d.path, at))
	}
}

// limits says in words which values of the type are allowed.
func (d definition) limits() string {
	switch d.typ() {
	case TypeInteger, TypeOptionalInteger, TypeIntegers:
		return fmt.Sprintf("%d to %d", d.min, d.max)
	case TypeDuration:
		if d.zero {
			return fmt.Sprintf("0s, or %v to %v", MinDuration, MaxDuration)
		}
		return fmt.Sprintf("%v to %v", MinDuration, MaxDuration)
	default:
		return d.allowed
	}
}

// wanted says what is to be written for the key.
func (d definition) wanted() string {
	switch d.typ() {
	case TypeBoolean:
		return "true or false"
	case TypeIntegers:
		return "a list of whole numbers, " + d.limits()
	case TypeStrings:
		return "a list of strings"
	default:
		return d.wantedItem()
	}
}

// wantedItem says what is to be written for the key, or for an item of its
// list.
func (d definition) wantedItem() string {
	switch d.typ() {
	case TypeInteger, TypeOptionalInteger, TypeIntegers:
		return "a whole number, " + d.limits()
	case TypeDuration:
		return "a duration in quotes, " + d.limits()
	case TypeSize:
		return "a size in quotes"
	}
	switch {
	case d.enum != nil:
		return alternatives(d.enum)
	case d.allowed != "" && d.typ() == TypeString:
		return d.allowed
	default:
		return "a string in quotes"
	}
}

// exampleItem is the example, or the first item of it where it is a list.
func (d definition) exampleItem() string {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(d.example, "]"), "["), ", ")
	return first
}

// literal writes the value that c has for the key as TOML; an absent one is
// empty.
func (d definition) literal(c *Config) string {
	switch v := d.at(c).(type) {
	case *bool:
		return strconv.FormatBool(*v)
	case *int:
		return strconv.Itoa(*v)
	case **int:
		if *v == nil {
			return ""
		}
		return strconv.Itoa(**v)
	case *[]int:
		return list(*v, strconv.Itoa)
	case *string:
		return quote(*v)
	case *mode.Mode:
		return quote(string(*v))
	case *Runtime:
		return quote(string(*v))
	case *Placement:
		return quote(string(*v))
	case *Network:
		return quote(string(*v))
	case *RemoteSessions:
		return quote(string(*v))
	case *Embedder:
		return quote(string(*v))
	case *[]string:
		return list(*v, quote)
	case *Duration:
		return quote(v.String())
	case *Size:
		if *v == 0 && d.empty {
			return `""`
		}
		return quote(v.String())
	default:
		panic(fmt.Sprintf("config: %s has a field of type %T, which the file cannot hold", d.path, v))
	}
}

func list[T any](values []T, write func(T) string) string {
	items := make([]string, len(values))
	for i, v := range values {
		items[i] = write(v)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// quote writes a TOML basic string. The strings of a Config have no control
// characters.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
