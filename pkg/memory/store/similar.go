package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
	"unicode"

	"github.com/ryjen/dubnium/pkg/memory"
)

// nearDuplicate is the share of words that two near duplicates have in common,
// of all words of both.
const nearDuplicate = 0.8

// A minhash of bandRows x bandCount rows (Broder 1997; banding as in Leskovec,
// Rajaraman, Ullman, Mining of Massive Datasets, 3.4): two texts that share a
// share s of their words have a band in common with the probability
// 1-(1-s^3)^4, which is 0.995 at 0.9, 0.94 at 0.8 and 0.004 at 0.1.
const (
	bandRows  = 3
	bandCount = 4
)

// words are the distinct words of a text in lower case.
func words(text string) []string {
	all := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	slices.Sort(all)
	return slices.Compact(all)
}

// bands are the bands of a text's minhash; a text without words has none.
func bands(text string) []int32 {
	var least [bandRows * bandCount]uint64
	for i := range least {
		least[i] = ^uint64(0)
	}
	all := words(text)
	for _, w := range all {
		h := fnv.New64a()
		h.Write([]byte(w))
		seed := h.Sum64()
		for i := range least {
			least[i] = min(least[i], mix(seed+uint64(i)*0x9e3779b97f4a7c15))
		}
	}
	found := []int32{}
	if len(all) == 0 {
		return found
	}
	for b := range bandCount {
		h := fnv.New32a()
		var n [8]byte
		n[0] = byte(b)
		h.Write(n[:1])
		for _, v := range least[b*bandRows : (b+1)*bandRows] {
			binary.LittleEndian.PutUint64(n[:], v)
			h.Write(n[:])
		}
		found = append(found, int32(h.Sum32()))
	}
	return found
}

// mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// similarity is the share of words that two texts have in common (Jaccard).
func similarity(a, b string) float64 {
	first, second := words(a), words(b)
	if len(first) == 0 || len(second) == 0 {
		return 0
	}
	in := map[string]bool{}
	for _, w := range first {
		in[w] = true
	}
	common := 0
	for _, w := range second {
		if in[w] {
			common++
		}
		in[w] = true
	}
	return float64(common) / float64(len(in))
}

func mostAlike(a, b memory.Similar) int {
	return cmp.Or(-cmp.Compare(a.Similarity, b.Similarity), bytes.Compare(a.ID[:], b.ID[:]))
}
