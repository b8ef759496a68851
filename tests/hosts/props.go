package hosts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Props are the properties of an object in a fixture, by their D-Bus names.
// The entry "raw" holds properties as GVariant text ("uint32 7"), for types
// that the real service would not send and properties that nobody knows.
type Props map[string]any

// unmarshal reads a fixture's JSON; a key that nobody knows is a mistake in
// the fixture.
func unmarshal(t testing.TB, name string, data []byte, into any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("fixture %s: %v", name, err)
	}
}

// typed turns properties into variants with the signatures of schema.
func typed(p Props, schema map[string]string) (map[string]dbus.Variant, error) {
	out := map[string]dbus.Variant{}
	for name, value := range p {
		if name == "raw" {
			continue
		}
		signature, known := schema[name]
		if !known {
			return nil, fmt.Errorf("property %s is not in the fixtures' schema; use raw for a property that the real service lacks", name)
		}
		v, err := variant(signature, value)
		if err != nil {
			return nil, fmt.Errorf("property %s: %w", name, err)
		}
		out[name] = v
	}
	raw, _ := p["raw"].(map[string]any)
	for name, text := range raw {
		s, ok := text.(string)
		if !ok {
			return nil, fmt.Errorf("raw property %s is no string", name)
		}
		v, err := dbus.ParseVariant(s, dbus.Signature{})
		if err != nil {
			return nil, fmt.Errorf("raw property %s: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

// variant gives a JSON or Go value the D-Bus type signature.
func variant(signature string, value any) (dbus.Variant, error) {
	text := fmt.Sprint(value)
	switch signature {
	case "s":
		if s, ok := value.(string); ok {
			return dbus.MakeVariant(s), nil
		}
	case "o":
		if p := dbus.ObjectPath(text); p.IsValid() {
			return dbus.MakeVariant(p), nil
		}
	case "b":
		if b, ok := value.(bool); ok {
			return dbus.MakeVariant(b), nil
		}
	case "i":
		if n, err := strconv.ParseInt(text, 10, 32); err == nil {
			return dbus.MakeVariant(int32(n)), nil
		}
	case "u":
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			return dbus.MakeVariant(uint32(n)), nil
		}
	case "t":
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return dbus.MakeVariant(n), nil
		}
	case "ay": // written as hex digits
		var bytes []byte
		if _, err := fmt.Sscanf(text, "%x", &bytes); err == nil || text == "" {
			return dbus.MakeVariant(bytes), nil
		}
	}
	return dbus.Variant{}, fmt.Errorf("%v (%T) can't be of the type %q", value, value, signature)
}

// over lays the entries of b over those of a.
func over(a, b Props) Props {
	out := maps.Clone(a)
	if out == nil {
		out = Props{}
	}
	maps.Copy(out, b)
	return out
}
