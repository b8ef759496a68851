package guards

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/bundle"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// PersistencePathsReady asks whether the compute workload finds its files.
var PersistencePathsReady = guard.Descriptor{
	Name:     "persistence_paths_ready",
	Question: "Are the folders and files that compute needs in place?",
	Manual: `Looks at every folder in guards.persistence.paths: it has to exist, be on a file system that is mounted writable, and have guards.persistence.minFree of free space. When vLLM is enabled, its model folder has to be a materialised bundle and the external runtime's program has to be executable, so that the desktop is not ended for a workload that can't start.

A materialised bundle is a folder of plain files with a config.json, a tokenizer and all weights: every file that model.safetensors.index.json names (else every shard that a shard's name tells of) is there, and its length is what its header tells. A Hugging Face hub cache (refs, blobs, snapshots) is none, nor are a snapshot of links into one, a download that has not ended, pointers of git-lfs, and links that lead nowhere or out of the folder. The weights themselves are not read: sha256sum -c SHA256SUMS does that. With --tokenizer, --skip-tokenizer-init or another --load-format in vllm.extraArgs, no tokenizer or no weights are asked for.

After a block, create or mount what the message names, free some space, or do to the bundle what the message says.`,
	Block:  exitcode.TargetUnreachable,
	Hard:   true,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "ready", Class: guard.Pass, Meaning: "every path is in place"},
		{Word: "path-missing", Class: guard.Block, Meaning: "a folder does not exist"},
		{Word: "not-a-folder", Class: guard.Block, Meaning: "a path is something else than a folder"},
		{Word: "read-only", Class: guard.Block, Meaning: "a folder is on a file system that is mounted read-only"},
		{Word: "space-low", Class: guard.Block, Meaning: "a folder's file system has too little free space"},
		{Word: "model-missing", Class: guard.Block, Meaning: "the model folder is missing or holds no config.json"},
		{Word: "model-cache-tree", Class: guard.Block, Meaning: "the model folder is a Hugging Face hub cache, or of links into one"},
		{Word: "model-incomplete", Class: guard.Block, Meaning: "a download into the model folder has not ended"},
		{Word: "model-lfs-pointer", Class: guard.Block, Meaning: "a file of the model is a pointer of git-lfs"},
		{Word: "model-link-dangling", Class: guard.Block, Meaning: "a link in the model folder leads nowhere"},
		{Word: "model-link-outside", Class: guard.Block, Meaning: "a link in the model folder leaves it"},
		{Word: "model-config-damaged", Class: guard.Block, Meaning: "the model's config.json is no JSON object"},
		{Word: "model-tokenizer-missing", Class: guard.Block, Meaning: "the model folder holds no tokenizer"},
		{Word: "model-weights-missing", Class: guard.Block, Meaning: "weights of the model are not there"},
		{Word: "model-weights-damaged", Class: guard.Block, Meaning: "weights of the model are empty, cut off or no safetensors, or their index can't be read"},
		{Word: "runtime-missing", Class: guard.Block, Meaning: "the external runtime's program is missing or not executable"},
	},
	Check: checkPaths,
}

type pathEvidence struct {
	Path     string `json:"path"`
	FreeMiB  uint64 `json:"free_mib"`
	ReadOnly bool   `json:"read_only"`

	free uint64 // bytes
}

type pathsEvidence struct {
	Paths      []pathEvidence `json:"paths"`
	MinFreeMiB uint64         `json:"min_free_mib"`
	Model      string         `json:"model,omitempty"`
	Bundle     *bundle.Bundle `json:"bundle,omitempty"`
	Runtime    string         `json:"runtime,omitempty"`
}

func checkPaths(ctx context.Context, env guard.Env) guard.Verdict {
	cfg := env.Config.Guards.Persistence
	ev := pathsEvidence{Paths: []pathEvidence{}, MinFreeMiB: cfg.MinFree.MiB()}
	for _, p := range cfg.Paths {
		if v := checkFolder(env.Root, p, cfg.MinFree, &ev); v != nil {
			return *v
		}
	}
	if env.Config.VLLM.Enable && env.Target == mode.Compute {
		if v := checkWorkload(ctx, env.Root, env.Config.VLLM, &ev); v != nil {
			return *v
		}
	}
	return guard.Say("ready", ev, "all paths are in place")
}

func checkFolder(root hostfs.Root, name string, need config.Size, ev *pathsEvidence) *guard.Verdict {
	say := func(reason, format string, args ...any) *guard.Verdict {
		v := guard.Say(reason, *ev, format, args...)
		return &v
	}
	info, err := root.Stat(name)
	switch {
	case hostfs.Absent(err):
		return say("path-missing", "%s does not exist", name)
	case err != nil:
		v := guard.CannotSee(err, *ev)
		return &v
	case !info.IsDir():
		return say("not-a-folder", "%s is not a folder", name)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(root.Path(name), &fs); err != nil {
		v := guard.CannotSee(fmt.Errorf("statfs %s: %w", name, err), *ev)
		return &v
	}
	p := pathEvidence{
		Path: name, ReadOnly: readOnly(root, name, fs.Flags&unix.ST_RDONLY != 0),
		free: fs.Bavail * uint64(fs.Bsize),
	}
	p.FreeMiB = p.free >> 20
	ev.Paths = append(ev.Paths, p)
	return judgeFolder(p, need, *ev)
}

// judgeFolder decides about one folder that is there; nil is nothing against it.
func judgeFolder(p pathEvidence, need config.Size, ev pathsEvidence) *guard.Verdict {
	switch {
	case p.ReadOnly:
		v := guard.Say("read-only", ev, "%s is on a file system that is mounted read-only", p.Path)
		return &v
	case p.free < need.Bytes():
		v := guard.Say("space-low", ev, "%s has %d MiB free, %d MiB are needed", p.Path, p.FreeMiB, need.MiB())
		return &v
	}
	return nil
}

// readOnly tells whether a folder is on a file system that is mounted
// read-only. The mounts of process 1 are the machine's; ours may be those of a
// unit's sandbox, where everything is read-only. Where process 1 may not be
// looked at there is no sandbox of ours either, and own is the answer.
func readOnly(root hostfs.Root, name string, own bool) bool {
	real, err := filepath.EvalSymlinks(root.Path(name))
	if err != nil || !root.Real() {
		return own
	}
	ro, known, err := procinfo.MountedReadOnly(root, 1, real)
	if err != nil || !known {
		return own
	}
	return ro
}

// checkWorkload looks for what vLLM can't start without.
func checkWorkload(ctx context.Context, root hostfs.Root, v config.VLLM, ev *pathsEvidence) *guard.Verdict {
	ev.Model = v.Model
	b, err := bundle.Look(ctx, root, v.Model)
	if err != nil {
		v := guard.CannotSee(err, *ev)
		return &v
	}
	ev.Bundle = &b
	if v := judgeBundle(b, v.ExtraArgs, *ev); v != nil {
		return v
	}
	program, external := v.Program()
	if !external {
		return nil
	}
	ev.Runtime = program
	say := func(what string) *guard.Verdict {
		v := guard.Say("runtime-missing", *ev, "%s %s", program, what)
		return &v
	}
	info, err := root.Stat(program)
	switch {
	case hostfs.Absent(err) || errors.Is(err, unix.ENOTDIR):
		return say("does not exist: install the runtime there, or correct vllm.runtimePath")
	case err != nil:
		v := guard.CannotSee(err, *ev)
		return &v
	case !info.Mode().IsRegular():
		return say("is not a program")
	case info.Mode()&0o111 == 0:
		return say("is not executable")
	}
	return nil
}

// judgeBundle decides about the model folder; nil is nothing against it.
func judgeBundle(b bundle.Bundle, args []string, ev pathsEvidence) *guard.Verdict {
	waived := waivedBy(args)
	for _, p := range b.Problems {
		if !slices.Contains(waived, p.Fault) {
			v := guard.Say("model-"+string(p.Fault), ev, "%s", p)
			return &v
		}
	}
	return nil
}

// waivedBy lists what the arguments of vllm serve make needless in the model
// folder.
func waivedBy(args []string) []bundle.Fault {
	var out []bundle.Fault
	for i, arg := range args {
		flag, value, joined := strings.Cut(arg, "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch strings.ReplaceAll(flag, "_", "-") { // vLLM takes both
		case "--tokenizer", "--skip-tokenizer-init":
			out = append(out, bundle.TokenizerMissing)
		case "--load-format":
			if value != "auto" && value != "safetensors" {
				out = append(out, bundle.WeightsMissing, bundle.WeightsDamaged)
			}
		}
	}
	return out
}
