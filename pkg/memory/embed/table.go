package embed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
)

// tableMagic begins a table of word vectors. After it, little endian: the
// count of words, the dimensions, the bytes of all words (uint32 each); the
// common direction (float32 a dimension); where each word begins, and the end
// (uint32); the words, sorted; for each word its rarity in (0, 1] and the
// length of its vector (float32 each); the vectors (int8).
const tableMagic = "DBNWVEC1"

// Bounds of a table, so that arithmetic on what its head says can't overflow.
const (
	maxTableWords      = 1 << 20
	maxTableDimensions = 1 << 10
)

// table holds a vector for each of some ten thousand words. It reads from the
// program's own image: nothing is unpacked.
type table struct {
	dimensions int
	common     []float32 // the direction that all texts share, of length 1
	begins     string    // uint32 each
	words      string
	facts      string // rarity and length, float32 each
	vectors    string // int8 each
}

// parseTable reads a table, without copying it.
func parseTable(data string) (table, error) {
	head := len(tableMagic) + 12
	if len(data) < head || data[:len(tableMagic)] != tableMagic {
		return table{}, errors.New("it is no table of word vectors")
	}
	count := int(u32(data, len(tableMagic)))
	t := table{dimensions: int(u32(data, len(tableMagic)+4))}
	length := int(u32(data, len(tableMagic)+8))
	if count > maxTableWords || t.dimensions == 0 || t.dimensions > maxTableDimensions || length > len(data) {
		return table{}, fmt.Errorf("its head says %d words of %d bytes, %d dimensions", count, length, t.dimensions)
	}
	rest := data[head:]
	if want := 4*t.dimensions + 4*(count+1) + length + 8*count + count*t.dimensions; len(rest) != want {
		return table{}, fmt.Errorf("it has %d bytes after its head, not %d", len(rest), want)
	}
	take := func(n int) string {
		part := rest[:n]
		rest = rest[n:]
		return part
	}
	common := take(4 * t.dimensions)
	for i := range t.dimensions {
		t.common = append(t.common, f32(common, 4*i))
	}
	t.begins, t.words, t.facts, t.vectors = take(4*(count+1)), take(length), take(8*count), rest
	return t, t.check(count)
}

// check looks for what a lookup relies on.
func (t table) check(count int) error {
	if err := normalise(append([]float32(nil), t.common...)); err != nil {
		return fmt.Errorf("its common direction: %w", err)
	}
	last := ""
	for i := range count {
		from, to := u32(t.begins, 4*i), u32(t.begins, 4*i+4)
		if from >= to || int(to) > len(t.words) || i == 0 && from != 0 {
			return fmt.Errorf("its word %d lies at %d to %d", i, from, to)
		}
		word := t.words[from:to]
		if word <= last {
			return fmt.Errorf("its word %q comes after %q", word, last)
		}
		last = word
		if rarity, length := t.fact(i); !(rarity > 0 && rarity <= 1) || !(length > 0 && length < 1e6) {
			return fmt.Errorf("its word %q has rarity %v and length %v", word, rarity, length)
		}
	}
	return nil
}

func (t table) count() int { return len(t.facts) / 8 }

func (t table) word(i int) string {
	return t.words[u32(t.begins, 4*i):u32(t.begins, 4*i+4)]
}

func (t table) fact(i int) (rarity, length float32) {
	return f32(t.facts, 8*i), f32(t.facts, 8*i+4)
}

// find gives the place of a word, or -1.
func (t table) find(word string) int {
	i := sort.Search(t.count(), func(i int) bool { return t.word(i) >= word })
	if i == t.count() || t.word(i) != word {
		return -1
	}
	return i
}

// endings are what is taken off a word that the table lacks, and what may be
// put there instead: "queries" is looked up as "query".
var endings = []struct{ old, new string }{
	{"ies", "y"},
	{"es", ""},
	{"s", ""},
	{"ied", "y"},
	{"ed", "e"},
	{"ed", ""},
	{"ing", ""},
	{"ing", "e"},
	{"ly", ""},
}

// lookup finds a word, or a word that it is a form of, or gives -1.
func (t table) lookup(word string) int {
	if i := t.find(word); i >= 0 {
		return i
	}
	for _, e := range endings {
		stem, ok := strings.CutSuffix(word, e.old)
		if !ok || len(stem) < 3 {
			continue
		}
		if i := t.find(stem + e.new); i >= 0 {
			return i
		}
	}
	return -1
}

// rarity says how telling a word is: 1 for one that the table lacks.
func (t table) rarity(word string) float32 {
	i := t.find(word)
	if i < 0 {
		return 1
	}
	rarity, _ := t.fact(i)
	return rarity
}

// mean puts the mean of the words' vectors into out, the rare ones counting
// more, less the direction that all texts share (Arora and others, "A simple
// but tough-to-beat baseline for sentence embeddings", 2017). It tells whether
// out has a direction.
func (t table) mean(words []string, out []float32) bool {
	for _, word := range words {
		for _, part := range Parts(word) {
			i := t.lookup(part)
			if i < 0 {
				continue
			}
			rarity, length := t.fact(i)
			weight := rarity / length
			for j, row := 0, t.vectors[i*t.dimensions:(i+1)*t.dimensions]; j < len(row); j++ {
				out[j] += weight * float32(int8(row[j]))
			}
		}
	}
	if normalise(out) != nil {
		return false
	}
	along := float32(0)
	for j, x := range out {
		along += x * t.common[j]
	}
	for j := range out {
		out[j] -= along * t.common[j]
	}
	return normalise(out) == nil
}

func u32(s string, at int) uint32 { return binary.LittleEndian.Uint32([]byte(s[at : at+4])) }

func f32(s string, at int) float32 { return math.Float32frombits(u32(s, at)) }
