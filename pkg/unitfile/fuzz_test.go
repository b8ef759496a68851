package unitfile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/google/go-cmp/cmp"
)

// values makes one value of each type out of what a fuzzer found.
func values(a, b string, n int64) []Value {
	return []Value{
		Text(a), Specifier(n),
		Concat{Text(a), Specifier('i'), Text(b)},
		Bool(n%2 == 0), Int(n), Weight(n), Bytes(n),
		Duration(n), Duration(time.Duration(n%1000) * time.Second),
		Units{a},
		Units{a + ".service", b},
		Tokens{a, b},
		Path(a), Path("/" + a),
		Env{a, Text(b)},
		Env{"A", Text(b)},
		Reset,
		Exec{Prefix: a, Path: Text(b)},
		Command("/"+a, b, a), Command("/bin/x", a, b),
		Exec{Path: Text("/bin/x"), Args: []Word{Concat{Text(a), Specifier('i')}, Text(b)}},
	}
}

// FuzzRender holds the promise of the package: an error, or a text that
// go-systemd reads back to the same options, and in which no line is anything
// but a comment, a section or one of the directives that were asked for.
func FuzzRender(f *testing.F) {
	for _, s := range []string{
		"a", "a\nUser=root", `a\`, "50%", "%i", "$HOME ${X}", `"quoted"`, "it's", ";", "#a", "[Service]", "a=b", "", " a ",
		"\u2028", "\x00", "\xff", "-/etc/x", "../x", "a.service", "ü", strings.Repeat("long ", 500),
	} {
		f.Add("a.service", "Service", "Key", s, "b", s, int64(5))
		f.Add(s, "Service", "Key", "a", s, "why", int64('i'))
		f.Add("a.service", s, "Key", "a", s, "", int64(-1))
		f.Add("a.service", "Service", s, s, s, "why", int64(1e6))
	}
	f.Fuzz(func(t *testing.T, name, section, key, a, b, comment string, n int64) {
		for _, v := range values(a, b, n) {
			file := File{Name: name, Sections: []Section{
				{Name: section, Entries: []Entry{{Key: key, Value: v, Why: comment}, {Key: "Last", Value: Int(1)}}},
				{Name: "X-Last", Entries: []Entry{{Key: key, Value: v}}},
			}}
			if comment != "" {
				file.Comments = []string{comment, "second"}
			}
			text, err := file.Render()
			if err != nil {
				continue
			}
			want, err := file.Options()
			if err != nil {
				t.Fatalf("%#v: Render took what Options did not: %v", v, err)
			}
			got, err := unit.DeserializeOptions(strings.NewReader(text))
			if err != nil {
				t.Fatalf("%#v: go-systemd: %v\n%s", v, err, text)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%#v: %s\n%s", v, diff, text)
			}
			lines := 0
			for line := range strings.Lines(text) {
				if line != "\n" && line[0] != '#' {
					lines++
				}
			}
			if lines != 3+2 {
				t.Fatalf("%#v: %d lines where 3 directives and 2 sections were asked for:\n%s", v, lines, text)
			}
		}
	})
}

// FuzzExecWords shows that systemd gets the arguments that were put in.
func FuzzExecWords(f *testing.F) {
	for _, s := range []string{"a", "a b", `"`, "'", `\`, `\x20`, "$HOME", "${A}$$", "%i%%", ";", "", "ü ö", "\u00a0x", "#"} {
		f.Add(s, "plain")
		f.Add("plain", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		opts, err := one("ExecStart", Command("/bin/x", a, b)).Options()
		if err != nil {
			t.Skip() // FuzzRender is about what is refused
		}
		got, err := systemdWords(opts[0].Value)
		if err != nil {
			t.Fatalf("%s: %v", opts[0].Value, err)
		}
		if diff := cmp.Diff([]string{"/bin/x", a, b}, got); diff != "" {
			t.Errorf("%s: %s", opts[0].Value, diff)
		}
	})
}

// systemdWords splits a command line as systemd.syntax(7) and the section
// COMMAND LINES of systemd.service(5) say, for the escapes that quote makes:
// words, quotes, backslashes, then %% and $$.
func systemdWords(line string) ([]string, error) {
	var words []string
	for rest := line; ; {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			return words, nil
		}
		if rest == ";" || strings.HasPrefix(rest, "; ") {
			return nil, errors.New("a second command")
		}
		var word strings.Builder
		var quote byte
		i := 0
	scan:
		for ; i < len(rest); i++ {
			switch c := rest[i]; {
			case c == '\\':
				i++
				if i == len(rest) || rest[i] != '\\' && rest[i] != '"' {
					return nil, errors.New("an escape of another meaning")
				}
				word.WriteByte(rest[i])
			case c == quote:
				quote = 0
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote == 0 && (c == ' ' || c == '\t'):
				break scan
			default:
				word.WriteByte(c)
			}
		}
		if quote != 0 {
			return nil, errors.New("an open quote")
		}
		w, err := undouble(word.String(), '%')
		if err == nil {
			w, err = undouble(w, '$')
		}
		if err != nil {
			return nil, err
		}
		words, rest = append(words, w), rest[i:]
	}
}

// undouble turns doubled marks into single ones; a single one would be a
// specifier or a variable.
func undouble(s string, mark byte) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == mark {
			i++
			if i == len(s) || s[i] != mark {
				return "", errors.New("a single " + string(mark))
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}
