package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// render writes every key that c has.
func render(c Config) string {
	var b strings.Builder
	defs := slices.DeleteFunc(definitions(), func(d definition) bool { return d.of != nil })
	for _, name := range c.Rooms.Names() {
		for _, d := range roomKeys() {
			if d.of != nil {
				defs = append(defs, d.inRoom(name))
			}
		}
	}
	for _, d := range defs {
		if value := d.literal(&c); value != "" {
			b.WriteString(d.path + " = " + value + "\n")
		}
	}
	return b.String()
}

// FuzzParse holds Parse to its promises: no panic; every error tells of at
// least one problem, in one line each, on a line of the file, and has exit code
// 31; what is accepted is TOML for the library's own decoder too, and reads the
// same when it is written out.
func FuzzParse(f *testing.F) {
	f.Add([]byte(RenderExample()))
	f.Add([]byte(strings.ReplaceAll(RenderExample(), "\n#", "\n")))
	f.Add([]byte(render(Default())))
	f.Add([]byte("[slices]\nai = {cpuWeight = 1, ioWeight = 2}\nplatform.cpuWeight = 3\nplatform.ioWeight = 3\n"))
	f.Add([]byte("[hardware]\npresentGpus = [0, 1]\ndisplayGpu = 0\ncomputeGpus = [ 1, # c\n]\r\n"))
	f.Add([]byte("slices.ai.cpuWeight = 1\n[slices.platform]\nioWeight = 1\n[slices]\n"))
	f.Add([]byte("\"boot\".'defaultMode' = \"\"\"\\\n compute\"\"\"\n[[vllm]]\n[a.b]\nc = {d = 1979-05-27T07:32:00Z}"))
	f.Add([]byte("[rooms.named.a]\nimage = \"i\"\nsha256 = \"" + strings.Repeat("0", 64) + "\"\ncommand = [\"/c\"]\nvaultRead = [\"a/b\"]\n[rooms]\nnamed.b = {}\nnamed.c.gpu = true\n"))
	f.Add([]byte("vllm.servedModelName = \"\\u00e9\\\\\\\"\"\nvllm.extraArgs = ['\\n', \"\"]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.ExitCode() != exitcode.Config || len(e.Problems) == 0 {
				t.Fatalf("not an error of a configuration: %#v", err)
			}
			lines := strings.Count(string(data), "\n") + 1
			for _, p := range e.Problems {
				if p.Message == "" || strings.Contains(p.Message+p.Key, "\n") || !utf8.ValidString(p.Message+p.Key) {
					t.Errorf("not one line of text: %+q: %+q", p.Key, p.Message)
				}
				if p.Line < 0 || p.Line > lines {
					t.Errorf("line %d of %d: %+v", p.Line, lines, p)
				}
			}
			return
		}
		var other map[string]any
		if err := toml.Unmarshal(data, &other); err != nil {
			t.Errorf("accepted, but not TOML: %v", err)
		}
		again, err := Parse("again", []byte(render(c)))
		if err != nil {
			t.Fatalf("written out, it is refused: %v", err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("written out, it reads otherwise (-before +after):\n%s", diff)
		}
	})
}
