package bundle

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// The files that a bundle is known by.
const (
	configFile = "config.json"
	indexFile  = "model.safetensors.index.json"
)

// The bounds of what is read whole, in bytes.
const (
	maxConfig = 4 << 20
	maxIndex  = 32 << 20 // some hundred thousand tensors
	// maxHeader is the most that the format allows a header to have, and
	// maxParsed what is looked into; of a longer one only the length is.
	maxHeader = 100_000_000
	maxParsed = 8 << 20
	maxShards = 4096
)

// weight is a file of weights that has to be there.
type weight struct {
	name    string
	namedBy string // what tells of it, where it is not there
	err     error  // what is wrong with it, as words that follow its name
}

// read reads the configuration, the index, and the heads of the weights.
func (t *tree) read(ctx context.Context) error {
	if e := t.find(configFile); e != nil && e.regular {
		data, err := t.whole(configFile, maxConfig)
		if err != nil && !errors.Is(err, hostfs.ErrTooLarge) {
			return err
		}
		if t.configErr = err; err == nil {
			t.modelType, t.configErr = parseConfig(data)
		}
	}
	if err := t.readIndex(); err != nil {
		return err
	}
	for i := range t.weights {
		if err := ctx.Err(); err != nil {
			return err
		}
		w := &t.weights[i]
		e := t.find(w.name)
		if e == nil || !e.regular || e.fault != "" {
			continue
		}
		if e.size == 0 {
			w.err = errors.New("is empty")
			continue
		}
		if !strings.HasSuffix(w.name, ".safetensors") {
			continue
		}
		var err error
		if w.err, err = t.header(*e); err != nil {
			return err
		}
	}
	return nil
}

// whole reads a file that has to be small.
func (t *tree) whole(name string, limit int64) ([]byte, error) {
	return hostfs.Root(t.real).ReadLimited("/"+name, limit)
}

// readIndex finds which files of weights there have to be: those that the
// index names, else those that are there and the shards that their names tell
// of.
func (t *tree) readIndex() error {
	if e := t.find(indexFile); e != nil && e.fault == "" {
		t.format = Safetensors
		if !e.regular {
			t.indexErr = hostfs.ErrNotRegular
			return nil
		}
		data, err := t.whole(indexFile, maxIndex)
		if err != nil && !errors.Is(err, hostfs.ErrTooLarge) {
			return err
		}
		var names []string
		if t.indexErr = err; err == nil {
			names, t.indexErr = parseIndex(data)
		}
		for _, name := range names {
			t.weights = append(t.weights, weight{name: name, namedBy: indexFile})
		}
		return nil
	}
	var there, other []string
	for _, e := range t.entries {
		switch path.Ext(e.name) {
		case ".safetensors":
			there = append(there, e.name)
		case ".bin", ".pt", ".pth", ".gguf":
			other = append(other, e.name)
		}
	}
	if t.format = Safetensors; len(there) == 0 {
		t.format = Other
		there = other
	}
	if len(there) == 0 {
		t.format = ""
	}
	wanted := map[string]bool{}
	for _, name := range there {
		wanted[name] = true
		t.weights = append(t.weights, weight{name: name})
	}
	for _, name := range there {
		for _, sibling := range shards(name) {
			if !wanted[sibling] && len(t.weights) < maxShards {
				wanted[sibling] = true
				t.weights = append(t.weights, weight{name: sibling, namedBy: path.Base(name)})
			}
		}
	}
	return nil
}

// tokenizer tells whether the folder holds one, whatever its kind.
func (t *tree) tokenizer() bool {
	return slices.ContainsFunc(t.entries, func(e entry) bool {
		return e.regular && e.size > 0 && (slices.Contains(tokenizers, e.name) || strings.HasSuffix(e.name, ".tiktoken"))
	})
}

// tokenizers are the files of which each is a tokenizer, or the vocabulary of
// one.
var tokenizers = []string{
	"tokenizer.json", "tokenizer.model", "tokenizer.model.v3", "tekken.json", "vocab.json", "vocab.txt",
	"spiece.model", "sentencepiece.bpe.model", "tiktoken.model",
}

// shard is the end of the name of one of many files, as "-00002-of-00007".
var shard = regexp.MustCompile(`-([0-9]{5})-of-([0-9]{5})(\.[a-z]+)$`)

// shards lists all the files of which name is one; nil where it is not one of
// many.
func shards(name string) []string {
	m := shard.FindStringSubmatchIndex(name)
	if m == nil {
		return nil
	}
	count, err := strconv.Atoi(name[m[4]:m[5]])
	if err != nil || count > maxShards {
		return nil
	}
	var out []string
	for i := range count {
		out = append(out, fmt.Sprintf("%s-%05d-of-%05d%s", name[:m[0]], i+1, count, name[m[6]:m[7]]))
	}
	return out
}

// parseConfig reads the kind of model from config.json.
func parseConfig(data []byte) (modelType string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return "", fmt.Errorf("no JSON object: %w", err)
	}
	if fields == nil {
		return "", errors.New("no JSON object")
	}
	if json.Unmarshal(fields["model_type"], &modelType) != nil || len(modelType) > 64 {
		return "", nil // nothing here rests on it
	}
	return modelType, nil
}

// parseIndex lists the files that an index of safetensors names, sorted.
func parseIndex(data []byte) ([]string, error) {
	var index struct {
		Map map[string]string `json:"weight_map"` // tensor to file
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, err
	}
	if len(index.Map) == 0 {
		return nil, errors.New("it has no weight_map")
	}
	files := map[string]bool{}
	for _, name := range index.Map {
		if !filepath.IsLocal(name) || path.Clean(name) != name || len(name) > 255 || !strings.HasSuffix(name, ".safetensors") {
			return nil, fmt.Errorf("it names %.80q, want a file below the folder that ends in .safetensors", name)
		}
		files[name] = true
	}
	if len(files) > maxShards {
		return nil, fmt.Errorf("it names %d files, want at most %d", len(files), maxShards)
	}
	return slices.Sorted(maps.Keys(files)), nil
}

// header looks at the head of a safetensors file. The first error is what is
// wrong with it, the second that it could not be read.
func (t *tree) header(e entry) (wrong, err error) {
	head, err := t.head(e.name, headLength)
	if err != nil {
		return nil, err
	}
	length, wrong := headerLength(head, e.size)
	if wrong != nil || length > maxParsed {
		return wrong, nil
	}
	data, err := t.head(e.name, prefix+length)
	if err != nil {
		return nil, err
	}
	if len(data) < prefix+length {
		return errors.New("changes while it is read"), nil
	}
	end, wrong := dataEnd(data[prefix:])
	if wrong != nil {
		return fmt.Errorf("is no safetensors file (%w)", wrong), nil
	}
	switch want, size := uint64(prefix+length)+end, uint64(e.size); {
	case size < want:
		return fmt.Errorf("is cut off: it has %d of %d bytes", size, want), nil
	case size > want:
		return fmt.Errorf("has %d bytes where its header tells of %d", size, want), nil
	}
	return nil, nil
}

const (
	prefix     = 8          // bytes that tell the header's length
	headLength = prefix + 1 // and the header's first
)

// headerLength reads the length of a safetensors header from the first bytes
// of a file of that size, and tells whether it can be one.
func headerLength(head []byte, size int64) (int, error) {
	if len(head) < headLength {
		return 0, fmt.Errorf("is no safetensors file (%d bytes)", size)
	}
	length := binary.LittleEndian.Uint64(head)
	switch {
	case length < 2 || length > maxHeader || head[prefix] != '{':
		return 0, errors.New("is no safetensors file (its first bytes tell of no header)")
	case uint64(size) < prefix+length:
		return 0, fmt.Errorf("is cut off within its header: it has %d of at least %d bytes", size, prefix+length)
	}
	return int(length), nil
}

// dataEnd gives the end of the last tensor that a header tells of, in bytes
// after the header.
func dataEnd(header []byte) (uint64, error) {
	var tensors map[string]json.RawMessage
	if err := json.Unmarshal(header, &tensors); err != nil {
		return 0, fmt.Errorf("its header: %w", err)
	}
	end := uint64(0)
	for name, raw := range tensors {
		if name == "__metadata__" {
			continue
		}
		var tensor struct {
			Offsets []uint64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &tensor); err != nil {
			return 0, fmt.Errorf("the tensor %.80q: %w", name, err)
		}
		const most = 1 << 60
		if o := tensor.Offsets; len(o) != 2 || o[0] > o[1] || o[1] > most {
			return 0, fmt.Errorf("the tensor %.80q has the data_offsets %.5v", name, o)
		}
		end = max(end, tensor.Offsets[1])
	}
	return end, nil
}
