package guards

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/hosts"
)

const (
	dataFolder = "var/lib/dubnium"
	model      = config.ModelsDirectory + "/coder"
	modelFile  = dataFolder + "/models/coder/config.json"
	program    = "var/lib/vllm/venv/bin/vllm"
)

// ready is a machine on which everything is in place.
func ready(h *hosts.Host) {
	h.Write(dataFolder+"/models/coder/config.json", "{}")
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

		"no model":            look(lacking(without(dataFolder+"/models")), withVLLM, "model-missing", model+"/config.json does not exist"),
		"an unfinished model": look(lacking(without(modelFile)), withVLLM, "model-missing", "seed the model bundle"),
		"a model below a file": look(lacking(func(h *hosts.Host) {
			h.Remove(dataFolder + "/models/coder")
			h.Write(dataFolder+"/models/coder", "")
		}), withVLLM, "model-missing", ""),
		"a folder as model file": look(lacking(func(h *hosts.Host) { h.Remove(modelFile); h.Write(modelFile+"/x", "") }), withVLLM, "model-missing", "is not a file"),
		"a model that loops": look(lacking(func(h *hosts.Host) {
			h.Remove(modelFile)
			must(os.Symlink("config.json", h.Root().Path(modelFile)))
		}), withVLLM, "source-unreadable", "too many levels"),
		"no runtime":             look(lacking(without(program)), withVLLM, "runtime-missing", "/var/lib/vllm/venv/bin/vllm does not exist"),
		"no virtual environment": look(lacking(without("var/lib/vllm")), withVLLM, "runtime-missing", "correct vllm.runtimePath"),
		"not executable":         look(chmod(0o644), withVLLM, "runtime-missing", "is not executable"),
		"a folder as runtime":    look(lacking(func(h *hosts.Host) { h.Remove(program); h.Write(program+"/x", "") }), withVLLM, "runtime-missing", "is not a program"),
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
	if !readOnly("", filepath.Join(folder, "nothing"), true) {
		t.Error("of a folder that can't be looked up, the caller's own view counts")
	}
}
