package guards

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

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
	Manual: `Looks at every folder in guards.persistence.paths: it has to exist, be on a file system that is mounted writable, and have guards.persistence.minFree of free space. When vLLM is enabled, its model folder has to hold a config.json and the external runtime's program has to be executable, so that the desktop is not ended for a workload that can't start.

After a block, create or mount what the message names, free some space, or seed the model bundle.`,
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
	Runtime    string         `json:"runtime,omitempty"`
}

func checkPaths(_ context.Context, env guard.Env) guard.Verdict {
	cfg := env.Config.Guards.Persistence
	ev := pathsEvidence{Paths: []pathEvidence{}, MinFreeMiB: cfg.MinFree.MiB()}
	for _, p := range cfg.Paths {
		if v := checkFolder(env.Root, p, cfg.MinFree, &ev); v != nil {
			return *v
		}
	}
	if env.Config.VLLM.Enable && env.Target == mode.Compute {
		if v := checkWorkload(env.Root, env.Config.VLLM, &ev); v != nil {
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
func checkWorkload(root hostfs.Root, v config.VLLM, ev *pathsEvidence) *guard.Verdict {
	ev.Model = v.Model
	model := path.Join(v.Model, "config.json")
	info, err := root.Stat(model)
	switch {
	case err != nil:
		return missing("model-missing", *ev, model, "seed the model bundle there, or correct vllm.model", err)
	case !info.Mode().IsRegular():
		return wrongKind("model-missing", *ev, "%s is not a file", model)
	}
	program, external := v.Program()
	if !external {
		return nil
	}
	ev.Runtime = program
	info, err = root.Stat(program)
	switch {
	case err != nil:
		return missing("runtime-missing", *ev, program, "install the runtime there, or correct vllm.runtimePath", err)
	case !info.Mode().IsRegular():
		return wrongKind("runtime-missing", *ev, "%s is not a program", program)
	case info.Mode()&0o111 == 0:
		return wrongKind("runtime-missing", *ev, "%s is not executable", program)
	}
	return nil
}

func wrongKind(reason string, ev pathsEvidence, format, name string) *guard.Verdict {
	v := guard.Say(reason, ev, format, name)
	return &v
}

func missing(reason string, ev pathsEvidence, name, remedy string, err error) *guard.Verdict {
	v := guard.Say(reason, ev, "%s does not exist: %s", name, remedy)
	if !hostfs.Absent(err) && !errors.Is(err, unix.ENOTDIR) {
		v = guard.CannotSee(err, ev)
	}
	return &v
}
