package guards

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/hosts"
)

const (
	dataFolder = "var/lib/dubnium"
	model      = config.ModelsDirectory + "/coder"
	modelFiles = dataFolder + "/models/coder/"
	modelFile  = modelFiles + "config.json"
	shardFile  = modelFiles + "model-00001-of-00001.safetensors"
	program    = "var/lib/vllm/venv/bin/vllm"
)

// weights is a safetensors file of one byte.
const weights = "\x35\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}` + "w"

// ready is a machine on which everything is in place.
func ready(h *hosts.Host) {
	h.Write(modelFile, "{}")
	h.Write(modelFiles+"tokenizer.json", "{}")
	h.Write(modelFiles+"model.safetensors.index.json", `{"weight_map":{"w":"model-00001-of-00001.safetensors"}}`)
	h.Write(modelFiles+"model-00001-of-00001.safetensors", weights)
	h.Write(program, "#!/bin/sh\n")
	if err := os.Chmod(h.Root().Path(program), 0o755); err != nil {
		panic(err)
	}
}

// lacking is a ready machine with one thing changed.
func lacking(change func(h *hosts.Host)) func(*hosts.Host) {
	return func(h *hosts.Host) { ready(h); change(h) }
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestPersistencePathsReady(t *testing.T) {
	d := PersistencePathsReady
	none := func(c *config.Config) { c.Guards.Persistence.MinFree = 0 }
	withVLLM := func(c *config.Config) { none(c); c.VLLM.Enable, c.VLLM.Model = true, model }
	serving := func(args ...string) func(*config.Config) {
		return func(c *config.Config) { withVLLM(c); c.VLLM.ExtraArgs = args }
	}
	linked := func(name, target string) func(*hosts.Host) {
		return lacking(func(h *hosts.Host) {
			_ = os.Remove(h.Root().Path(modelFiles, name))
			must(os.Symlink(target, h.Root().Path(modelFiles, name)))
		})
	}
	fromPackage := func(c *config.Config) { withVLLM(c); c.VLLM.Runtime = config.RuntimePackage }
	chmod := func(mode os.FileMode) func(*hosts.Host) {
		return lacking(func(h *hosts.Host) { must(os.Chmod(h.Root().Path(program), mode)) })
	}
	look := func(change func(*hosts.Host), cfg func(*config.Config), reason, message string) looking {
		return looking{guard: d, host: "empty", noBus: true, change: change, config: cfg, reason: reason, message: message}
	}
	elsewhere := look(ready, withVLLM, "ready", "")
	elsewhere.target, elsewhere.change = mode.Desktop, lacking(without(modelFile))
	holds(t, map[string]looking{
		"in place":              look(ready, none, "ready", ""),
		"with vllm":             look(ready, withVLLM, "ready", ""),
		"vllm of a package":     look(lacking(without(program)), fromPackage, "ready", ""),
		"not asked for compute": elsewhere,
		"no folder is needed":   look(nil, func(c *config.Config) { c.Guards.Persistence.Paths = nil }, "ready", ""),
		"a link to a folder": look(func(h *hosts.Host) {
			h.Write("data/x", "")
			must(os.MkdirAll(h.Root().Path("var/lib"), 0o755))
			must(os.Symlink(h.Root().Path("data"), h.Root().Path(dataFolder)))
		}, none, "ready", ""),

		"missing": look(nil, none, "path-missing", "/var/lib/dubnium does not exist"),
		"dangling link": look(func(h *hosts.Host) {
			must(os.MkdirAll(h.Root().Path("var/lib"), 0o755))
			must(os.Symlink("nowhere", h.Root().Path(dataFolder)))
		}, none, "path-missing", "/var/lib/dubnium"),
		"a file":       look(with(dataFolder, ""), none, "not-a-folder", "/var/lib/dubnium is not a folder"),
		"a pipe":       look(func(h *hosts.Host) { h.Write(dataFolder, ""); fifo(dataFolder)(h) }, none, "not-a-folder", ""),
		"below a file": look(with("var/lib", ""), none, "source-unreadable", "not a directory"),
		"a loop of links": look(func(h *hosts.Host) {
			must(os.MkdirAll(h.Root().Path("var/lib"), 0o755))
			must(os.Symlink("dubnium", h.Root().Path(dataFolder)))
		}, none, "source-unreadable", "too many levels"),
		"a second folder": look(ready, func(c *config.Config) {
			none(c)
			c.Guards.Persistence.Paths = append(c.Guards.Persistence.Paths, "/srv/models")
		}, "path-missing", "/srv/models"),
		"little space": look(ready, func(c *config.Config) { c.Guards.Persistence.MinFree = config.MaxSize }, "space-low", "/var/lib/dubnium has"),

		"no model":            look(lacking(without(dataFolder+"/models")), withVLLM, "model-missing", model+" does not exist: seed"),
		"an unfinished model": look(lacking(without(modelFile)), withVLLM, "model-missing", "seed the model bundle"),
		"a model below a file": look(lacking(func(h *hosts.Host) {
			h.Remove(dataFolder + "/models/coder")
			h.Write(dataFolder+"/models/coder", "")
		}), withVLLM, "model-missing", ""),
		"a folder as model file": look(lacking(func(h *hosts.Host) { h.Remove(modelFile); h.Write(modelFile+"/x", "") }), withVLLM, "model-missing", "config.json does not exist"),
		"a model that loops":     look(linked("config.json", "config.json"), withVLLM, "model-link-dangling", modelFile+" is a link that leads nowhere"),
		"a folder that loops": look(lacking(func(h *hosts.Host) {
			h.Remove(dataFolder + "/models/coder")
			must(os.Symlink("coder", h.Root().Path(model)))
		}), withVLLM, "source-unreadable", "too many levels"),
		"a link to a bundle": look(lacking(func(h *hosts.Host) {
			must(os.Rename(h.Root().Path(model), h.Root().Path(model+"-v2")))
			must(os.Symlink("coder-v2", h.Root().Path(model)))
		}), withVLLM, "ready", ""),
		"a hub cache": look(lacking(func(h *hosts.Host) {
			h.Remove(dataFolder + "/models/coder")
			h.Write(modelFiles+"refs/main", "x")
			h.Write(modelFiles+"snapshots/x/config.json", "{}")
		}), withVLLM, "model-cache-tree", model+" is a model in a Hugging Face hub cache (refs, blobs, snapshots): make plain files of it with rsync -aL"),
		"a snapshot of a hub cache":  look(linked("tokenizer.json", "../../blobs/"+strings.Repeat("1", 40)), withVLLM, "model-cache-tree", "tokenizer.json is a link into the blobs"),
		"a download under way":       look(lacking(with(modelFiles+"x.incomplete", "")), withVLLM, "model-incomplete", "x.incomplete is of a download that has not ended: let it end"),
		"a pointer":                  look(lacking(with(modelFiles+"vocab.json", "version https://git-lfs.github.com/spec/v1\n")), withVLLM, "model-lfs-pointer", "run git lfs pull"),
		"a link that leads nowhere":  look(linked("LICENSE", "nowhere"), withVLLM, "model-link-dangling", "LICENSE is a link that leads nowhere (nowhere)"),
		"a link that leaves":         look(linked("LICENSE", "../../../vllm/venv/bin/vllm"), withVLLM, "model-link-outside", "LICENSE is a link that leaves the folder"),
		"a damaged configuration":    look(lacking(with(modelFile, "{")), withVLLM, "model-config-damaged", "config.json can't be used"),
		"no tokenizer":               look(lacking(without(modelFiles+"tokenizer.json")), withVLLM, "model-tokenizer-missing", "holds no tokenizer"),
		"a shard that is not there":  look(lacking(without(shardFile)), withVLLM, "model-weights-missing", shardFile+" does not exist, though model.safetensors.index.json names it"),
		"a shard cut off":            look(lacking(with(shardFile, weights[:len(weights)-1])), withVLLM, "model-weights-damaged", "is cut off"),
		"too many files":             look(lacking(func(h *hosts.Host) { h.Write(modelFiles+"1/2/3/4/5/6", "") }), withVLLM, "source-unreadable", "which no bundle is"),
		"another tokenizer":          look(lacking(without(modelFiles+"tokenizer.json")), serving("--tokenizer", "/srv/tokenizer"), "ready", ""),
		"weights of another kind":    look(lacking(without(shardFile)), serving("--load_format=dummy"), "ready", ""),
		"weights of the same kind":   look(lacking(without(shardFile)), serving("--load-format", "safetensors"), "model-weights-missing", ""),
		"neither, and a broken link": look(linked("LICENSE", "nowhere"), serving("--load-format", "dummy", "--skip-tokenizer-init"), "model-link-dangling", ""),
		"no runtime":                 look(lacking(without(program)), withVLLM, "runtime-missing", "/var/lib/vllm/venv/bin/vllm does not exist"),
		"no virtual environment":     look(lacking(without("var/lib/vllm")), withVLLM, "runtime-missing", "correct vllm.runtimePath"),
		"not executable":             look(chmod(0o644), withVLLM, "runtime-missing", "is not executable"),
		"a folder as runtime":        look(lacking(func(h *hosts.Host) { h.Remove(program); h.Write(program+"/x", "") }), withVLLM, "runtime-missing", "is not a program"),
		"a pipe as runtime": look(lacking(func(h *hosts.Host) {
			fifo(program)(h)
			must(os.Chmod(h.Root().Path(program), 0o755))
		}), withVLLM, "runtime-missing", "is not a program"),
	})
}

func TestJudgeFolder(t *testing.T) {
	const need = 2 * config.MiB
	for name, tt := range map[string]struct {
		p    pathEvidence
		want string
	}{
		"writable and roomy": {pathEvidence{free: 1 << 30}, ""},
		"just as much":       {pathEvidence{free: 2 << 20}, ""},
		"a byte less":        {pathEvidence{free: 2<<20 - 1}, "space-low"},
		"read-only":          {pathEvidence{free: 1 << 30, ReadOnly: true}, "read-only"},
		"read-only and full": {pathEvidence{ReadOnly: true}, "read-only"},
	} {
		got := ""
		if v := judgeFolder(tt.p, need, pathsEvidence{}); v != nil {
			got = v.Reason
			witness(t, PersistencePathsReady, got)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestReadOnlyHere asks about the running machine, where mounts are looked up:
// /proc/sys and the like may be read-only, a folder of ours is not.
func TestReadOnlyHere(t *testing.T) {
	folder := t.TempDir()
	var fs unix.Statfs_t
	must(unix.Statfs(folder, &fs))
	if own := fs.Flags&unix.ST_RDONLY != 0; own || readOnly("", folder, own) {
		t.Errorf("%s is said to be read-only", folder)
	}
	if readOnly("", folder, true) {
		t.Errorf("%s is said to be read-only because it would be in a sandbox of ours", folder)
	}
	if !readOnly("", filepath.Join(folder, "nothing"), true) {
		t.Error("of a folder that can't be looked up, the caller's own view counts")
	}
}
