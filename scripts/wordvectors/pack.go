package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

const (
	maxWords = 30_000
	// smoothing is the frequency at which a word counts half (SIF).
	smoothing = 1e-3
	// sampled is every how many lines the common direction is learnt from.
	sampled = 100
	rounds  = 50 // of power iteration
)

// entry is a word of the table.
type entry struct {
	word   string
	rarity float64
	vector []int8
	length float64
}

// pack writes the table (its layout: package embed) from fastText's vectors,
// which are in the order of frequency, and the text they were trained on.
func pack(vectors, corpus string, out io.Writer) error {
	entries, err := readVectors(vectors)
	if err != nil {
		return err
	}
	lines, err := readLines(corpus)
	if err != nil {
		return err
	}
	counts, all := map[string]float64{}, 0.0
	for _, line := range lines {
		for word := range strings.FieldsSeq(line) {
			counts[word]++
			all++
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.word, b.word) })
	for i := range entries {
		entries[i].rarity = smoothing / (smoothing + counts[entries[i].word]/all)
	}
	return write(out, entries, common(entries, lines))
}

func readVectors(path string) ([]entry, error) {
	lines, err := readLines(path)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, line := range lines[1:] { // the first holds the counts
		f := strings.Fields(line)
		if f[0] == "</s>" || len(entries) == maxWords {
			continue
		}
		e := entry{word: f[0], vector: make([]int8, len(f)-1)}
		row, largest := make([]float64, len(f)-1), 0.0
		for i, s := range f[1:] {
			if row[i], err = strconv.ParseFloat(s, 64); err != nil {
				return nil, fmt.Errorf("%s: the vector of %s: %w", path, e.word, err)
			}
			largest = max(largest, math.Abs(row[i]))
		}
		for i, x := range row {
			e.vector[i] = int8(math.Round(x / largest * 127))
			e.length += float64(e.vector[i]) * float64(e.vector[i])
		}
		e.length = math.Sqrt(e.length)
		entries = append(entries, e)
	}
	return entries, nil
}

func readLines(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return slices.Collect(func(yield func(string) bool) {
		for line := range strings.Lines(string(data)) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}), nil
}

// common gives the first principal direction of the mean vectors of a sample
// of the lines: what all texts share.
func common(entries []entry, lines []string) []float64 {
	dims := len(entries[0].vector)
	at := map[string]int{}
	for i, e := range entries {
		at[e.word] = i
	}
	var means [][]float64
	for i := 0; i < len(lines); i += sampled {
		mean := make([]float64, dims)
		for word := range strings.FieldsSeq(lines[i]) {
			if k, ok := at[word]; ok {
				for j, x := range entries[k].vector {
					mean[j] += entries[k].rarity / entries[k].length * float64(x)
				}
			}
		}
		if unit(mean) {
			means = append(means, mean)
		}
	}
	direction := make([]float64, dims)
	for i := range direction {
		direction[i] = 1 + float64(i%7)
	}
	unit(direction)
	for range rounds {
		next := make([]float64, dims)
		for _, mean := range means {
			along := 0.0
			for j, x := range mean {
				along += x * direction[j]
			}
			for j, x := range mean {
				next[j] += along * x
			}
		}
		unit(next)
		direction = next
	}
	return direction
}

// unit gives v the length 1, where it has one.
func unit(v []float64) bool {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	if sum == 0 {
		return false
	}
	for i := range v {
		v[i] /= math.Sqrt(sum)
	}
	return true
}

func write(out io.Writer, entries []entry, common []float64) error {
	var begins, words, facts, vectors bytes.Buffer
	put := func(b *bytes.Buffer, value any) { _ = binary.Write(b, binary.LittleEndian, value) } // a buffer takes all
	for _, e := range entries {
		put(&begins, uint32(words.Len()))
		words.WriteString(e.word)
		put(&facts, []float32{float32(e.rarity), float32(e.length)})
		put(&vectors, e.vector)
	}
	put(&begins, uint32(words.Len()))
	var head bytes.Buffer
	head.WriteString("DBNWVEC1")
	put(&head, []uint32{uint32(len(entries)), uint32(len(common)), uint32(words.Len())})
	for _, x := range common {
		put(&head, float32(x))
	}
	w := bufio.NewWriter(out)
	for _, part := range []*bytes.Buffer{&head, &begins, &words, &facts, &vectors} {
		if _, err := part.WriteTo(w); err != nil {
			return err
		}
	}
	return w.Flush()
}
