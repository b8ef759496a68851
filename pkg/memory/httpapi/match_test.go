package httpapi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTags(t *testing.T) {
	strong := func(all ...string) (tags []tag) {
		for _, s := range all {
			tags = append(tags, tag{opaque: s})
		}
		return tags
	}
	for value, want := range map[string][]tag{
		`"1"`: strong("1"), ` "1" , "2" `: strong("1", "2"), `"1","2"`: strong("1", "2"), `, "1",,`: strong("1"), "": nil, ",": nil,
		`""`: strong(""), `"a,b", "é"`: strong("a,b", "é"), `W/"1", "2"`: {{"1", true}, {"2", false}}, "\t\"1\"\t": strong("1"),
	} {
		if got, all, ok := parseTags(value); !ok || all || cmp.Diff(want, got, cmp.AllowUnexported(tag{})) != "" {
			t.Errorf("%q: %+v, %v, %v", value, got, all, ok)
		}
	}
	for _, value := range []string{`1`, `"1`, `1"`, `"1" "2"`, `"1"2`, `w/"1"`, `W/`, `W/1`, `W/ "1"`, `*, "1"`, `"1", *`, "\"a b\"", "\"\x7f\"", `**`, strings.Repeat(`"1",`, maxTags+1)} {
		if got, all, ok := parseTags(value); ok {
			t.Errorf("%q is read as %+v, %v", value, got, all)
		}
	}
	if _, all, ok := parseTags(" * "); !all || !ok {
		t.Error("* is not any")
	}
}

func FuzzParseTags(f *testing.F) {
	for _, s := range []string{`"1"`, `W/"1", "2"`, `*`, `"a,b",,`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		tags, all, ok := parseTags(value)
		if !ok || all {
			return
		}
		var written []string
		for _, v := range tags {
			if strings.Contains(v.opaque, `"`) {
				t.Fatalf("%q has the tag %q", value, v.opaque)
			}
			s := `"` + v.opaque + `"`
			if v.weak {
				s = "W/" + s
			}
			written = append(written, s)
		}
		again, _, ok := parseTags(strings.Join(written, ", "))
		if diff := cmp.Diff(tags, again, cmp.AllowUnexported(tag{})); !ok || diff != "" {
			t.Errorf("%q reads otherwise as it is written: %s", value, diff)
		}
	})
}
