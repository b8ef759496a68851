package config

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// leaves gives the path and the address of every field that a key can set. A
// path is the fields' names, in which case is the only thing that differs from
// the key's.
func leaves(prefix string, v reflect.Value, found map[string]uintptr) {
	for i := range v.NumField() {
		path := strings.TrimPrefix(prefix+"."+strings.ToLower(v.Type().Field(i).Name), ".")
		switch field := v.Field(i); {
		case field.Kind() == reflect.Struct:
			leaves(path, field, found)
		case field.Kind() == reflect.Map:
			one := reflect.New(field.Type().Elem().Elem())
			field.Set(reflect.MakeMap(field.Type()))
			field.SetMapIndex(reflect.ValueOf("demo"), one)
			leaves(path+".demo", one.Elem(), found)
		default:
			found[path] = field.Addr().Pointer()
		}
	}
}

func TestEveryFieldHasItsKey(t *testing.T) {
	var c Config
	want := map[string]uintptr{}
	leaves("", reflect.ValueOf(&c).Elem(), want)
	got := map[string]uintptr{}
	for _, d := range definitions() {
		if d.of != nil {
			d = d.inRoom("demo")
		}
		got[strings.ToLower(d.path)] = reflect.ValueOf(d.at(&c)).Pointer()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields and keys differ (-fields +keys):\n%s", diff)
	}
	if len(got) != len(definitions()) {
		t.Errorf("a key is defined twice")
	}
}

func TestReferenceIsComplete(t *testing.T) {
	inSections := 0
	for _, s := range Sections() {
		inSections += len(s.Keys)
		if s.Doc == "" || len(s.Keys) == 0 {
			t.Errorf("[%s] has no doc or no keys", s.Path)
		}
	}
	keys := Reference()
	if inSections != len(keys) {
		t.Errorf("the sections hold %d of %d keys", inSections, len(keys))
	}
	for _, k := range keys {
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: the doc %q is no sentence", k.Path, k.Doc)
		}
		if k.Default == "" && !k.Required && k.Type != TypeOptionalInteger {
			t.Errorf("%s has no default", k.Path)
		}
		if k.Example == k.Default {
			t.Errorf("%s: the example is the default", k.Path)
		}
	}
}

// Every default and every example is accepted, and an example changes what the
// default is.
func TestDefaultsAndExamplesAreRight(t *testing.T) {
	needs := map[string]string{
		"hardware.displayGpu":    "hardware.presentGpus = [0]\n",
		"hardware.desktopAiGpus": "hardware.presentGpus = [1]\n",
		"hardware.computeGpus":   "hardware.presentGpus = [0, 1]\n",
		"vllm.enable":            `vllm.model = "/var/lib/dubnium/models/m"` + "\n",
	}
	for _, k := range Reference() {
		context := needs[k.Path]
		if strings.Contains(k.Path, AnyName) {
			k.Path = strings.Replace(k.Path, AnyName, "demo", 1)
			for _, d := range roomKeys() {
				if path := strings.Replace(d.path, AnyName, "demo", 1); d.required && path != k.Path {
					context += path + " = " + d.example + "\n"
				}
			}
		}
		if k.Required {
			if _, err := Parse("f", []byte(context)); err == nil || !strings.Contains(err.Error(), k.Path+": is not set") {
				t.Errorf("without %s: %v", k.Path, err)
			}
			if _, err := Parse("f", []byte(context+k.Path+" = "+k.Example)); err != nil {
				t.Errorf("example: %v", err)
			}
			continue
		}
		before, err := Parse("f", []byte(context))
		if err != nil {
			t.Fatal(err)
		}
		if k.Default != "" {
			got, err := Parse("f", []byte(context+k.Path+" = "+k.Default))
			if err != nil {
				t.Errorf("default: %v", err)
			} else if diff := cmp.Diff(before, got); diff != "" {
				t.Errorf("%s: setting the default changes (-before +after):\n%s", k.Path, diff)
			}
		}
		got, err := Parse("f", []byte(context+k.Path+" = "+k.Example))
		if err != nil {
			t.Errorf("example: %v", err)
		} else if cmp.Equal(before, got) {
			t.Errorf("%s = %s changes nothing", k.Path, k.Example)
		}
	}
}

func TestDefaultSharesNothing(t *testing.T) {
	a := Default()
	a.Desktop.Compositors[0] = "changed"
	a.Guards.Session.Inhibitors[0] = "changed"
	if b := Default(); b.Desktop.Compositors[0] == "changed" || b.Guards.Session.Inhibitors[0] == "changed" {
		t.Error("two defaults share a list")
	}
}

func TestExampleSetsNothing(t *testing.T) {
	got, err := Parse("example", []byte(RenderExample()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExampleUncommentedIsDefault(t *testing.T) {
	lines := strings.Split(RenderExample(), "\n")
	set := 0
	for i, line := range lines {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			lines[i] = line[1:]
			set++
		}
	}
	optional := func(k Key) bool { return k.Default == "" || strings.Contains(k.Path, AnyName) }
	if want := len(slices.DeleteFunc(Reference(), optional)); set != want {
		t.Errorf("%d keys can be uncommented, want %d", set, want)
	}
	text := []byte(strings.Join(lines, "\n"))
	got, err := Parse("example", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var decoded map[string]any
	if err := toml.Unmarshal(text, &decoded); err != nil {
		t.Errorf("another reader refuses the example: %v", err)
	}
}

func TestMarkdownNamesEveryKey(t *testing.T) {
	page := RenderMarkdown()
	for _, k := range Reference() {
		if !strings.Contains(page, "- key: `"+k.Path+"`\n") {
			t.Errorf("%s is not on the page", k.Path)
		}
	}
}

func TestPageIsCurrent(t *testing.T) {
	const page = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(page, []byte(RenderMarkdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(RenderMarkdown(), string(got)); diff != "" {
		t.Errorf("docs/configuration.md is not what the keys say; run go run ./cmd/generate-docs (-want +got):\n%s", diff)
	}
}
