package docgen

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/config"
)

func TestNixLiteral(t *testing.T) {
	for want, v := range map[string]any{
		`null`: nil, `true`: true, `-3`: int64(-3), `"a"`: "a", `[ ]`: []any{}, `[ "a" "b" ]`: []string{"a", "b"},
		`[ 0 1 ]`: []any{int64(0), int64(1)}, `"\"\\ \${HOME} $x"`: `"\ ${HOME} $x`,
	} {
		if got := nixLiteral(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestNixOptions(t *testing.T) {
	options, err := nixOptions()
	if err != nil {
		t.Fatal(err)
	}
	var paths, keys, want []string
	for _, o := range options {
		paths = append(paths, o.Path)
		if o.Key {
			keys = append(keys, o.Path)
		}
		if !strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s: the doc %q is no sentence", o.Path, o.Doc)
		}
		if o.Default == nil && o.DefaultText == "" && !o.Required && !strings.HasSuffix(string(o.Type), " or null") {
			t.Errorf("%s has no default", o.Path)
		}
	}
	for _, k := range config.Reference() {
		want = append(want, k.Path)
	}
	slices.Sort(keys)
	slices.Sort(want)
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys (-configuration +options):\n%s", diff)
	}
	slices.Sort(paths)
	for i, p := range paths {
		if i > 0 && (p == paths[i-1] || strings.HasPrefix(p, paths[i-1]+".")) {
			t.Errorf("%s cannot be an option beside %s", p, paths[i-1])
		}
	}

	text, err := nixJSON(options)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Options []nixOption
		Wanted  map[string][]string
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Options) != len(options) || !slices.Equal(got.Wanted["vllm.service"], []string{"compute.target"}) {
		t.Errorf("%d options of %d, and wanted are %v", len(got.Options), len(options), got.Wanted)
	}
	page := string(nixReference(options))
	for _, p := range paths {
		if strings.Count(page, "\n### dubnium."+p+"\n")+strings.Count(page, "\n### `dubnium."+p+"`\n") != 1 {
			t.Errorf("%s is not once on the page", p)
		}
	}
}
