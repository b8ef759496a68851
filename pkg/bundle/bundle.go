// Package bundle reads a folder of model files and tells whether it is a
// materialised bundle, one that a server can load without a network: plain
// files, all of them there, none cut off. It tells such a folder from the
// cache of a Hugging Face hub, from a checkout whose large files are pointers,
// and from a copy that did not end.
//
// It reads names, sizes and the heads of files, never the weights themselves,
// and what it reads is bounded.
package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Fault is a stable word for what keeps a folder from being a bundle.
type Fault string

// The faults, the most telling first.
const (
	CacheTree        Fault = "cache-tree"        // a hub cache, a model in one, or a snapshot of links into one
	Incomplete       Fault = "incomplete"        // a download into the folder has not ended
	Pointer          Fault = "lfs-pointer"       // git-lfs left a pointer in the place of a file
	DanglingLink     Fault = "link-dangling"     // a link leads nowhere
	OutsideLink      Fault = "link-outside"      // a link leaves the folder
	Missing          Fault = "missing"           // the folder or its config.json is not there
	ConfigDamaged    Fault = "config-damaged"    // config.json is no JSON object
	TokenizerMissing Fault = "tokenizer-missing" // no file of a tokenizer
	WeightsMissing   Fault = "weights-missing"   // no weights, or not all that the index names
	WeightsDamaged   Fault = "weights-damaged"   // weights that are empty, cut off or something else, or an index that can't be read
)

// Problem is one thing that is wrong with a folder.
type Problem struct {
	Fault Fault  `json:"fault"`
	File  string `json:"file"` // absolute
	What  string `json:"what"` // words that follow the file's name
	Next  string `json:"next"` // what to do about it
}

// String is the problem as a sentence.
func (p Problem) String() string { return p.File + " " + p.What + ": " + p.Next }

// Format is the kind of weights in a folder.
type Format string

// The formats. Only safetensors are looked into.
const (
	Safetensors Format = "safetensors"
	Other       Format = "other" // pickled (.bin, .pt, .pth) or .gguf
)

// Bundle is what is known of a model folder.
type Bundle struct {
	Path      string `json:"path"`
	Files     int    `json:"files"`
	SizeMiB   uint64 `json:"size_mib"` // of the files, rounded down
	ModelType string `json:"model_type,omitempty"`
	Format    Format `json:"weights_format,omitempty"`
	Weights   int    `json:"weights_files"`
	Manifest  bool   `json:"sha256sums"` // whether the folder has a SHA256SUMS
	// Problems are the first of ProblemCount, the most telling first.
	Problems     []Problem `json:"problems"`
	ProblemCount int       `json:"problem_count"`
}

// maxProblems is how many problems a Bundle lists.
const maxProblems = 8

// Look reads the folder dir, an absolute path on the machine. An error says
// that it could not be looked at, or not within the bounds of a bundle; what
// is wrong with it is no error.
func Look(ctx context.Context, root hostfs.Root, dir string) (Bundle, error) {
	t := tree{dir: dir}
	b := Bundle{Path: dir, Problems: []Problem{}}
	info, err := root.Stat(dir)
	switch {
	case hostfs.Absent(err) || errors.Is(err, unix.ENOTDIR):
		return b.with(t.problem(Missing, "", "does not exist", seed)), nil
	case err != nil:
		return b, err
	case !info.IsDir():
		return b.with(t.problem(Missing, "", "is not a folder", seed)), nil
	}
	if t.real, err = filepath.EvalSymlinks(root.Path(dir)); err != nil {
		return b, err
	}
	if found := t.cache(); found != nil {
		return b.with(*found), nil
	}
	if err := t.walk(ctx, ".", 0); err != nil {
		return b, fmt.Errorf("look at the model folder %s: %w", dir, err)
	}
	if err := t.read(ctx); err != nil {
		return b, fmt.Errorf("look at the model folder %s: %w", dir, err)
	}
	for _, e := range t.entries {
		if e.regular {
			b.Files++
			b.SizeMiB += uint64(e.size) // bytes until all are added
		}
	}
	b.SizeMiB >>= 20
	b.ModelType, b.Format, b.Weights, b.Manifest = t.modelType, t.format, len(t.weights), t.find("SHA256SUMS") != nil
	return b.with(judge(&t)...), nil
}

// What to do about most problems.
const (
	seed        = "seed the model bundle there, or correct the path of it"
	seedAgain   = "copy it again from the seed, and check it with sha256sum -c SHA256SUMS"
	materialise = "make plain files of it with rsync -aL SNAPSHOT/ BUNDLE/"
)

func (b Bundle) with(problems ...Problem) Bundle {
	b.ProblemCount = len(problems)
	b.Problems = append(b.Problems, problems[:min(len(problems), maxProblems)]...)
	return b
}

// problem is about a file of the folder, or about the folder itself when name
// is empty.
func (t *tree) problem(fault Fault, name, what, next string) Problem {
	return Problem{Fault: fault, File: path.Join(t.dir, name), What: what, Next: next}
}

// judge lists what is wrong with what was read.
func judge(t *tree) []Problem {
	var out []Problem
	add := func(fault Fault, name, what, next string) { out = append(out, t.problem(fault, name, what, next)) }
	for _, fault := range []Fault{CacheTree, Incomplete, Pointer, DanglingLink, OutsideLink} {
		for _, e := range t.entries {
			if e.fault == fault {
				add(fault, e.name, e.what, e.next)
			}
		}
	}
	seen := func(name string) bool { // and told of already
		e := t.find(name)
		return e != nil && e.fault != ""
	}
	if !seen(configFile) {
		switch e := t.find(configFile); {
		case e == nil:
			add(Missing, configFile, "does not exist", seed)
		case !e.regular:
			add(Missing, configFile, "is not a file", seed)
		case t.configErr != nil:
			add(ConfigDamaged, configFile, "can't be used ("+t.configErr.Error()+")", seedAgain)
		}
	}
	if !t.tokenizer() {
		add(TokenizerMissing, "", "holds no tokenizer (tokenizer.json, tokenizer.model, vocab.json or the like)", seedAgain)
	}
	if t.indexErr != nil && !seen(indexFile) {
		add(WeightsDamaged, indexFile, "can't be used ("+t.indexErr.Error()+")", seedAgain)
	}
	if len(t.weights) == 0 && t.indexErr == nil {
		add(WeightsMissing, "", "holds no weights (model.safetensors, or shards and their index)", seed)
	}
	var damaged []Problem
	for _, w := range t.weights {
		if seen(w.name) {
			continue
		}
		switch e := t.find(w.name); {
		case e == nil:
			add(WeightsMissing, w.name, "does not exist, though "+w.namedBy+" names it", seedAgain)
		case !e.regular:
			add(WeightsMissing, w.name, "is not a file", seedAgain)
		case w.err != nil:
			damaged = append(damaged, t.problem(WeightsDamaged, w.name, w.err.Error(), seedAgain))
		}
	}
	return append(out, damaged...)
}

// find gives the entry of a name below the folder, nil where there is none.
func (t *tree) find(name string) *entry {
	for i := range t.entries {
		if t.entries[i].name == name {
			return &t.entries[i]
		}
	}
	return nil
}

// absent tells whether a name leads nowhere, which is a fact and no failure to
// look.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR)
}
