package embed

import (
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

// The say of the pieces of a word, against the whole of it.
const (
	partShare = 0.7
	gramShare = 0.3
)

// hashed adds the spelling of words to out: each word, its parts and its runs
// of three to five characters fall on one dimension each, chosen by their
// hash, so that texts with the same names, paths and numbers are alike though
// no table knows them. rarity says how much a word counts.
func hashed(words []string, rarity func(string) float32, out []float32) {
	add := func(feature string, weight float32) {
		h := fnv.New64a()
		h.Write([]byte(feature)) //nolint:errcheck // it can't fail
		x := spread(h.Sum64())
		if x>>63 == 1 {
			weight = -weight
		}
		out[x%uint64(len(out))] += weight
	}
	for _, word := range words {
		weight := rarity(word)
		add(word, weight)
		parts := Parts(word)
		for _, part := range parts {
			if len(parts) > 1 {
				weight = rarity(part)
				add(part, weight*partShare)
			}
			grams("<"+part+">", func(gram string) { add(gram, weight*gramShare) })
		}
	}
}

// grams gives the runs of three to five characters of a word.
func grams(word string, yield func(string)) {
	starts := make([]int, 0, len(word)+1)
	for i := range word {
		starts = append(starts, i)
	}
	starts = append(starts, len(word))
	for n := 3; n <= 5; n++ {
		for i := 0; i+n < len(starts); i++ {
			yield(word[starts[i]:starts[i+n]])
		}
	}
}

// spread mixes all bits of a hash into all others: FNV's low bits are poor
// (the finaliser of MurmurHash3, public domain).
func spread(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// signs gives a text without any word as one word: "!!" is "!!".
func signs(text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" || !utf8.ValidString(text) {
		return nil
	}
	return []string{cut(text)}
}
