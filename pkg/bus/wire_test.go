package bus

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

// FuzzMessage feeds the wire decoder: it may refuse, and may do nothing else.
func FuzzMessage(f *testing.F) {
	for _, call := range []*Call{
		{Dest: "org.example.A", Path: "/", Method: "org.example.A.B"},
		GetAll("org.example.A", "/a/b", "org.example.I"),
		{Dest: "org.example.A", Path: "/", Method: "org.example.A.B", Args: []any{
			[]string{"a", "b"}, map[string]dbus.Variant{"k": dbus.MakeVariant([]uint64{1})}, []struct {
				A string
				B uint32
			}{{"x", 1}},
		}},
	} {
		data, err := encodeCall(call, 7)
		if err != nil {
			f.Fatal(err)
		}
		size, err := messageSize(data)
		if err != nil || size != len(data) {
			f.Fatalf("a message of %d bytes is said to have %d: %v", len(data), size, err)
		}
		msg, err := decode(data, nil)
		if err != nil || msg.Serial() != 7 {
			f.Fatalf("serial %d, %v", msg.Serial(), err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		size, err := messageSize(data)
		if err != nil || size == 0 || size > len(data) {
			return
		}
		if size > maxMessage || size < 16 {
			t.Fatalf("a message of %d bytes is taken", size)
		}
		msg, err := decode(data[:size], nil)
		if (msg == nil) == (err == nil) {
			t.Fatalf("message %v with error %v", msg, err)
		}
	})
}
