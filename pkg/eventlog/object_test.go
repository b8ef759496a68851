package eventlog

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// agrees holds Object against encoding/json: the same data is an object, and
// its values are the same.
func agrees(t *testing.T, data []byte) {
	t.Helper()
	keys := []string{"a", "id", "é"}
	values := make([][]byte, len(keys))
	got := Object(data, keys, values)
	var want map[string]json.RawMessage
	valid := json.Valid(data) && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
	if got != valid {
		t.Fatalf("%q is an object: %v, want %v", data, got, valid)
	}
	if !valid || bytes.ContainsRune(data, '\\') {
		return // a key that is written with escapes is none of ours
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if diff := cmp.Diff(string(want[key]), string(values[i])); diff != "" {
			t.Errorf("%q: %s: %s", data, key, diff)
		}
	}
}

// objects are what the scanner has to get right.
func objects() []string {
	return []string{
		`{}`, ` { } `, `{"a":1}`, "{\"a\":\t[1, {\"a\":2}]\r}\n", `{"a":1,"a":{"id":3}}`, `{"id":"x","a":null,"b":true,"c":false}`,
		`{"a":-0.1e+7,"id":0}`, `{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83d"}`, "{\"é\":\"\u00fc\x80\"}", `{"":{"":[]}}`,
		``, `{`, `}`, `[]`, `1`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":1}{}`, `{a:1}`, `{"a":'1'}`,
		`{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":1e+}`, `{"a":tru}`, `{"a":True}`, `{"a":nul}`,
		`{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12`, `{"a":"\`, "{\"a\":\"\n\"}", "{\"a\":\"\x00\"}", "{\"a\x1f\":1}", `{"a":"`, "\xef\xbb\xbf{}",
		`{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":]}`, "\v{}",
		strings.Repeat(`{"a":`, 5) + "[[[[]]]]" + strings.Repeat("}", 5),
		`{"a":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + "}",
		`{"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + "}",
	}
}

func TestObject(t *testing.T) {
	for _, s := range objects() {
		agrees(t, []byte(s))
	}
	// No beginning of an object is one: a torn line is never taken for an event.
	whole := `{"a":[1,{"b":"x\"}"}],"c":-1.5e3,"d":{"e":null,"f":[true]}}`
	for n := range len(whole) {
		if Object([]byte(whole[:n]), nil, nil) {
			t.Errorf("%s is taken for an object", whole[:n])
		}
	}
}

func TestArray(t *testing.T) {
	for in, want := range map[string][]string{
		`[]`: nil, ` [ 1 , "a,b" ,{"c":[2]}] `: {"1", `"a,b"`, `{"c":[2]}`}, `[[],[1,2]]`: {"[]", "[1,2]"},
	} {
		var got []string
		if !Array([]byte(in), func(item []byte) bool { got = append(got, string(item)); return true }) {
			t.Errorf("%s is no array", in)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	for _, in := range []string{``, `{}`, `[1,]`, `[1`, `[1]]`, `null`} {
		if Array([]byte(in), func([]byte) bool { return true }) {
			t.Errorf("%s is taken for an array", in)
		}
	}
	if Array([]byte(`[1,2]`), func(item []byte) bool { return string(item) == "1" }) {
		t.Error("an array that was refused passes")
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range objects() {
		if len(s) < 1000 {
			f.Add([]byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		agrees(t, data)
		isArray := json.Valid(data) && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("["))
		if got := Array(data, func([]byte) bool { return true }); got != isArray {
			t.Errorf("%q is an array: %v", data, got)
		}
	})
}
