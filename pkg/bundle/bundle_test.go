package bundle

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

const dir = "/models/coder"

// tensors is a safetensors file with one tensor of so many bytes.
func tensors(bytes int) string {
	header := fmt.Sprintf(`{"__metadata__":{"format":"pt"},"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, bytes, bytes)
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + strings.Repeat("w", bytes)
}

// Words that stand for something else than a file's content.
const (
	link = "-> "
	pipe = "a pipe"
	gone = "nothing"
)

const (
	lfs    = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 4976698672\n"
	commit = "0123456789abcdef0123456789abcdef01234567"
	index  = `{"metadata":{"total_size":48},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}}`
)

// sound is a bundle in two shards, with changes.
func sound(changes ...map[string]string) map[string]string {
	files := map[string]string{
		"config.json": `{"model_type":"qwen2"}`, "tokenizer.json": "{}", "README.md": "# Coder\n", "SHA256SUMS": "",
		"model.safetensors.index.json":     index,
		"model-00001-of-00002.safetensors": tensors(16), "model-00002-of-00002.safetensors": tensors(32),
	}
	for _, c := range changes {
		maps.Copy(files, c)
	}
	return files
}

// single is a bundle with one file of weights, with changes.
func single(changes ...map[string]string) map[string]string {
	without := map[string]string{
		indexFile: gone, "model-00001-of-00002.safetensors": gone, "model-00002-of-00002.safetensors": gone, "model.safetensors": tensors(16),
	}
	return sound(append([]map[string]string{without}, changes...)...)
}

// put makes a folder below a new root.
func put(t testing.TB, at string, files map[string]string) hostfs.Root {
	t.Helper()
	root := hostfs.Root(t.TempDir())
	for name, content := range files {
		file := root.Path(at, name)
		if content == gone {
			continue
		}
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if target, is := strings.CutPrefix(content, link); err == nil && is {
			err = os.Symlink(target, file)
		} else if err == nil && content == pipe {
			err = unix.Mkfifo(file, 0o644)
		} else if err == nil {
			err = os.WriteFile(file, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func look(t testing.TB, root hostfs.Root, at string) Bundle {
	t.Helper()
	b, err := Look(t.Context(), root, at)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSound(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  Bundle
	}{
		"two shards": {sound(), Bundle{Files: 7, ModelType: "qwen2", Format: Safetensors, Weights: 2, Manifest: true}},
		"one file":   {single(), Bundle{Files: 5, ModelType: "qwen2", Format: Safetensors, Weights: 1, Manifest: true}},
		"large": {
			single(map[string]string{"model.safetensors": tensors(3 << 20), "SHA256SUMS": gone}),
			Bundle{Files: 4, SizeMiB: 3, ModelType: "qwen2", Format: Safetensors, Weights: 1},
		},
		"shards without an index": {sound(map[string]string{indexFile: gone}), Bundle{Files: 6, ModelType: "qwen2", Format: Safetensors, Weights: 2, Manifest: true}},
		"links that stay inside": {
			sound(map[string]string{"tokenizer.json": link + "parts/tokenizer.json", "parts/tokenizer.json": "{}"}),
			Bundle{Files: 8, ModelType: "qwen2", Format: Safetensors, Weights: 2, Manifest: true},
		},
		"weights of another kind": {single(map[string]string{"model.safetensors": gone, "pytorch_model.bin": "PK"}), Bundle{Files: 5, ModelType: "qwen2", Format: Other, Weights: 1, Manifest: true}},
		"what a download left behind": {
			single(map[string]string{".cache/huggingface/download/model.safetensors.lock": "", ".cache/huggingface/.gitignore": "*"}),
			Bundle{Files: 7, ModelType: "qwen2", Format: Safetensors, Weights: 1, Manifest: true},
		},
		"what git keeps is not looked at": {single(map[string]string{".git/lfs/tmp/x.incomplete": ""}), Bundle{Files: 5, ModelType: "qwen2", Format: Safetensors, Weights: 1, Manifest: true}},
		"a model of no kind":              {single(map[string]string{"config.json": `{"model_type":7}`}), Bundle{Files: 5, Format: Safetensors, Weights: 1, Manifest: true}},
		"a vocabulary":                    {single(map[string]string{"tokenizer.json": gone, "vocab.json": "{}", "SHA256SUMS": gone}), Bundle{Files: 4, ModelType: "qwen2", Format: Safetensors, Weights: 1}},
	} {
		tt.want.Path, tt.want.Problems = dir, []Problem{}
		if diff := cmp.Diff(tt.want, look(t, put(t, dir, tt.files), dir)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// problem is a fault and a part of how it is told.
type problem struct {
	fault Fault
	says  string
}

func TestProblems(t *testing.T) {
	two := "model-00002-of-00002.safetensors"
	blob := "../../blobs/" + strings.Repeat("ab", 32)
	cut := tensors(64)
	for name, tt := range map[string]struct {
		files map[string]string
		want  []problem
	}{
		"nothing there":         {nil, []problem{{Missing, dir + " does not exist: seed"}}},
		"an empty folder":       {map[string]string{"a/b": ""}, []problem{{Missing, "config.json does not exist"}, {TokenizerMissing, dir + " holds no tokenizer"}, {WeightsMissing, "holds no weights"}}},
		"no configuration":      {sound(map[string]string{"config.json": gone}), []problem{{Missing, dir + "/config.json does not exist"}}},
		"a folder in its place": {sound(map[string]string{"config.json": gone, "config.json/x": ""}), []problem{{Missing, "config.json does not exist"}}},
		"a pipe in its place":   {sound(map[string]string{"config.json": pipe}), []problem{{Missing, "config.json is not a file"}}},
		"half a configuration":  {sound(map[string]string{"config.json": `{"model_type":`}), []problem{{ConfigDamaged, "unexpected end"}}},
		"an empty one":          {sound(map[string]string{"config.json": ""}), []problem{{ConfigDamaged, "unexpected end"}}},
		"null":                  {sound(map[string]string{"config.json": "null"}), []problem{{ConfigDamaged, "no JSON object"}}},
		"a huge one":            {sound(map[string]string{"config.json": `{"x":"` + strings.Repeat("x", maxConfig) + `"}`}), []problem{{ConfigDamaged, "larger than"}}},

		"a snapshot, copied link by link": {
			sound(map[string]string{"config.json": link + blob, two: link + blob}),
			[]problem{{CacheTree, "config.json is a link into the blobs of a hub cache"}, {CacheTree, two}},
		},
		"a download that has not ended": {sound(map[string]string{two: gone, ".cache/huggingface/download/" + commit + ".incomplete": "w"}), []problem{{Incomplete, ".incomplete is of a download"}, {WeightsMissing, two + " does not exist, though " + indexFile + " names it"}}},
		"pointers":                      {sound(map[string]string{two: lfs, "tokenizer.json": lfs}), []problem{{Pointer, two + " is a pointer of git-lfs"}, {Pointer, "tokenizer.json"}}},
		"a dangling link":               {sound(map[string]string{"vocab.json": link + "nowhere"}), []problem{{DanglingLink, "vocab.json is a link that leads nowhere (nowhere)"}}},
		"a loop":                        {sound(map[string]string{"config.json": link + "config.json"}), []problem{{DanglingLink, "config.json is a link that leads nowhere"}}},
		"a link below a file":           {sound(map[string]string{"x": link + "config.json/y"}), []problem{{DanglingLink, "x is a link"}}},
		"a link that leaves":            {sound(map[string]string{two: link + "../other/model.safetensors", "../other/model.safetensors": tensors(9)}), []problem{{OutsideLink, two + " is a link that leaves the folder"}}},
		"a linked folder outside":       {sound(map[string]string{"parts": link + "../parts", "../parts/x": ""}), []problem{{OutsideLink, "parts is a link"}}},

		"no tokenizer":       {sound(map[string]string{"tokenizer.json": gone, "tokenizer_config.json": "{}"}), []problem{{TokenizerMissing, dir + " holds no tokenizer"}}},
		"an empty tokenizer": {sound(map[string]string{"tokenizer.json": ""}), []problem{{TokenizerMissing, "holds no tokenizer"}}},

		"no weights":                   {single(map[string]string{"model.safetensors": gone}), []problem{{WeightsMissing, "holds no weights"}}},
		"a shard is missing":           {sound(map[string]string{two: gone}), []problem{{WeightsMissing, two + " does not exist, though model.safetensors.index.json names it"}}},
		"a shard without an index":     {sound(map[string]string{two: gone, indexFile: gone}), []problem{{WeightsMissing, two + " does not exist, though model-00001-of-00002.safetensors names it"}}},
		"a folder as shard":            {sound(map[string]string{two: gone, two + "/x": ""}), []problem{{WeightsMissing, two + " does not exist"}}},
		"a pipe as shard":              {sound(map[string]string{two: pipe}), []problem{{WeightsMissing, two + " is not a file"}}},
		"an index that leads out":      {sound(map[string]string{indexFile: `{"weight_map":{"a":"../model.safetensors"}}`}), []problem{{WeightsDamaged, "it names"}}},
		"an index of something":        {sound(map[string]string{indexFile: `{"weight_map":{"a":"/etc/shadow"}}`}), []problem{{WeightsDamaged, "it names"}}},
		"an index that is elsewhere":   {sound(map[string]string{indexFile: link + "nowhere"}), []problem{{DanglingLink, indexFile + " is a link"}}},
		"an index of nothing":          {sound(map[string]string{indexFile: `{}`}), []problem{{WeightsDamaged, "it has no weight_map"}}},
		"half an index":                {sound(map[string]string{indexFile: index[:60]}), []problem{{WeightsDamaged, indexFile + " can't be used (unexpected end"}}},
		"a pipe as index":              {sound(map[string]string{indexFile: pipe}), []problem{{WeightsDamaged, indexFile + " can't be used (not a regular file)"}}},
		"an empty shard":               {sound(map[string]string{two: ""}), []problem{{WeightsDamaged, two + " is empty"}}},
		"a shard of a few bytes":       {sound(map[string]string{two: "abc"}), []problem{{WeightsDamaged, two + " is no safetensors file (3 bytes)"}}},
		"a page in the place of one":   {sound(map[string]string{two: "<!DOCTYPE html><html>not found</html>"}), []problem{{WeightsDamaged, "its first bytes tell of no header"}}},
		"a shard of zeros":             {sound(map[string]string{two: string(make([]byte, 4096))}), []problem{{WeightsDamaged, "its first bytes tell of no header"}}},
		"a shard cut off":              {sound(map[string]string{two: cut[:len(cut)-1]}), []problem{{WeightsDamaged, fmt.Sprintf("is cut off: it has %d of %d bytes", len(cut)-1, len(cut))}}},
		"a shard cut off early":        {sound(map[string]string{two: cut[:20]}), []problem{{WeightsDamaged, "is cut off within its header"}}},
		"a shard with something added": {sound(map[string]string{two: cut + "x"}), []problem{{WeightsDamaged, "where its header tells of"}}},
		"an odd header":                {sound(map[string]string{two: "\x02\x00\x00\x00\x00\x00\x00\x00{x"}), []problem{{WeightsDamaged, "its header: invalid character"}}},
		"empty weights of another kind": {
			single(map[string]string{"model.safetensors": gone, "pytorch_model.bin": ""}), []problem{{WeightsDamaged, "pytorch_model.bin is empty"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := put(t, dir, tt.files)
			b := look(t, root, dir)
			if b.ProblemCount != len(tt.want) || len(b.Problems) != len(tt.want) {
				t.Fatalf("%d problems, want %d: %q", b.ProblemCount, len(tt.want), b.Problems)
			}
			for i, want := range tt.want {
				if got := b.Problems[i]; got.Fault != want.fault || !strings.Contains(got.String(), want.says) || !strings.HasPrefix(got.File, dir) {
					t.Errorf("problem %d is %s: %s\nwant %s: …%s…", i, got.Fault, got, want.fault, want.says)
				}
			}
		})
	}
}

// TestHubCache holds that each part of a hub cache is known as such, however
// it was reached, and that the way out of it is told.
func TestHubCache(t *testing.T) {
	const model = "/hub/models--owner--coder"
	blob := strings.Repeat("0f", 32)
	hub := func() hostfs.Root {
		return put(t, "/hub", map[string]string{
			"models--owner--coder/refs/main":                                  commit,
			"models--owner--coder/blobs/" + blob:                              tensors(9),
			"models--owner--coder/blobs/" + commit:                            "{}",
			"models--owner--coder/snapshots/" + commit + "/config.json":       link + "../../blobs/" + commit,
			"models--owner--coder/snapshots/" + commit + "/model.safetensors": link + "../../blobs/" + blob,
			".locks/models--owner--coder/" + blob + ".lock":                   "",
			"version.txt": "1",
		})
	}
	root := hub()
	for name, target := range map[string]string{"whole": "/hub", "model": model, "snapshot": model + "/snapshots/" + commit} {
		if err := os.Symlink(root.Path(target), root.Path("/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	for at, next := range map[string]string{
		"/hub": "rsync -aL", model: "rsync -aL " + model + "/snapshots/" + commit + "/ BUNDLE/",
		model + "/snapshots/" + commit: "rsync -aL " + model + "/snapshots/" + commit + "/ BUNDLE/",
		"/whole":                       "rsync -aL", "/model": "rsync -aL /model/snapshots/" + commit + "/ BUNDLE/", "/snapshot": "rsync -aL /snapshot/ BUNDLE/",
	} {
		b := look(t, root, at)
		if b.ProblemCount != 1 || b.Problems[0].Fault != CacheTree || b.Problems[0].File != at || !strings.Contains(b.Problems[0].Next, next) {
			t.Errorf("%s: %q", at, b.Problems)
		}
	}
	if err := os.WriteFile(root.Path(model, "refs/main"), []byte("$(reboot)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if next := look(t, root, model).Problems[0].Next; !strings.Contains(next, "/snapshots/REVISION/") {
		t.Errorf("a revision that is none is told to people: %s", next)
	}
	// Materialised as the runbook has it, it is one problem less.
	bundle := put(t, dir, map[string]string{"config.json": "{}", "model.safetensors": tensors(9), "tokenizer.json": "{}"})
	if b := look(t, bundle, dir); b.ProblemCount != 0 {
		t.Errorf("%q", b.Problems)
	}
}

// TestBounds holds that a look has an end.
func TestBounds(t *testing.T) {
	many := map[string]string{}
	for i := range maxEntries {
		many[fmt.Sprintf("d%d/%d", i%2, i)] = ""
	}
	broad := map[string]string{}
	for i := range maxEntries + 1 {
		broad[fmt.Sprint(i)] = ""
	}
	for name, files := range map[string]map[string]string{
		"deep": single(map[string]string{"a/b/c/d/e/f": ""}), "many": single(many), "broad": broad,
	} {
		if b, err := Look(t.Context(), put(t, dir, files), dir); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "vllm.model") {
			t.Errorf("%s: %q, %v", name, b.Problems, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Look(ended, put(t, dir, single()), dir); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	// What many files say of each other is bounded too.
	shards := map[string]string{"config.json": "{}", "tokenizer.json": "{}"}
	for i := range 300 {
		shards[fmt.Sprintf("m%d-00001-of-04096.safetensors", i)] = ""
	}
	if b := look(t, put(t, dir, shards), dir); b.Weights != maxShards || len(b.Problems) != maxProblems || b.ProblemCount != maxShards {
		t.Errorf("%d weights, %d of %d problems", b.Weights, len(b.Problems), b.ProblemCount)
	}
}

// TestNotADirectory holds what a path is that leads to no folder.
func TestNotADirectory(t *testing.T) {
	root := put(t, "/models", map[string]string{"coder": "", "loop": link + "loop"})
	for at, says := range map[string]string{"/models/coder": "is not a folder", "/models/coder/x": "does not exist"} {
		if b := look(t, root, at); b.ProblemCount != 1 || b.Problems[0].Fault != Missing || !strings.Contains(b.Problems[0].What, says) {
			t.Errorf("%s: %q", at, b.Problems)
		}
	}
	if _, err := Look(t.Context(), root, "/models/loop"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
}
