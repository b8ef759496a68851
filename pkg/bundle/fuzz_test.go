package bundle

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func FuzzParseIndex(f *testing.F) {
	for _, s := range []string{index, `{"weight_map":{}}`, `{"weight_map":{"a":"../x.safetensors"}}`, `{"weight_map":{"a":"./x.safetensors"}}`, "[]", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseIndex(data)
		if (err == nil) != (len(names) > 0) || !slices.IsSorted(names) || len(names) > maxShards {
			t.Errorf("%q, %v", names, err)
		}
		for _, n := range names {
			if !filepath.IsLocal(n) || !strings.HasSuffix(n, ".safetensors") {
				t.Errorf("%q is no file of the folder", n)
			}
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{`{"model_type":"llama"}`, `{"model_type":[]}`, "{}", "null", "[]", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if kind, err := parseConfig(data); len(kind) > 64 || err != nil && kind != "" {
			t.Errorf("%q, %v", kind, err)
		}
	})
}

// FuzzHeader holds that a header which is taken accounts for the whole file.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{tensors(0), tensors(5), tensors(5)[:30], lfs, "", "\x02\x00\x00\x00\x00\x00\x00\x00{}", "\xff\xff\xff\xff\xff\xff\xff\xff{"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		length, err := headerLength(data[:min(len(data), headLength)], int64(len(data)))
		if err != nil {
			return
		}
		if length < 2 || length+prefix > len(data) || uint64(length) != binary.LittleEndian.Uint64(data) {
			t.Fatalf("a header of %d bytes in %d", length, len(data))
		}
		if end, err := dataEnd(data[prefix : prefix+length]); err == nil && end > 1<<60 {
			t.Errorf("data up to %d", end)
		}
	})
}

func FuzzShards(f *testing.F) {
	for _, s := range []string{"model-00001-of-00002.safetensors", "a/b-00009-of-00003.bin", "x-00000-of-00000.pt", "-99999-of-99999.x", "model.safetensors"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		all := shards(name)
		if len(all) > maxShards {
			t.Errorf("%d files", len(all))
		}
		for _, s := range all {
			if len(s) != len(name) {
				t.Errorf("%q is told of by %q", s, name)
			}
		}
	})
}

func FuzzLinks(f *testing.F) {
	f.Add("../../blobs/"+commit, lfs)
	f.Add("blobs/x", "version https://git-lf")
	f.Fuzz(func(t *testing.T, target, head string) {
		if intoBlobs(target) && !strings.Contains(target, "blobs") {
			t.Errorf("%q leads into blobs", target)
		}
		if pointer([]byte(head)) != strings.HasPrefix(head, "version https://git-lfs") {
			t.Errorf("%q", head)
		}
	})
}
