package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// related are the relations of a synset whose words are told together with
// its own: more general, similar, derived, cause, entailment, attribute.
const related = "@&+>*="

// synset is a set of words of one meaning, with its explanation.
type synset struct {
	words []string
	gloss string
	ties  []string // "part-of-speech offset" of the related synsets
}

// wordnet writes the meanings of WordNet's data files in folder: each with its
// words, and with the words of the meanings that it is related to.
func wordnet(folder string, t *text) error {
	all := map[string]synset{}
	var order []string
	for _, name := range []string{"noun", "verb", "adj", "adv"} {
		data, err := os.ReadFile(filepath.Join(folder, "data."+name))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, "  ") { // the licence
				continue
			}
			key, s, err := parseSynset(line)
			if err != nil {
				return fmt.Errorf("data.%s: %w", name, err)
			}
			all[key] = s
			order = append(order, key)
		}
	}
	for _, key := range order {
		s := all[key]
		own := strings.Join(s.words, " ")
		t.add(own, s.gloss)
		if len(s.words) > 1 {
			t.add(own, meaning(s))
		}
		for _, tie := range s.ties {
			t.add(own, strings.Join(all[tie].words, " "), meaning(all[tie]))
		}
	}
	return nil
}

// meaning is the gloss without its examples.
func meaning(s synset) string {
	short, _, _ := strings.Cut(s.gloss, ";")
	return short
}

// parseSynset reads a line of a data file (wndb(5WN)): offset, file, kind,
// count of words in hexadecimal, words with their ids, count of pointers,
// pointers of four fields, and the gloss after a bar.
func parseSynset(line string) (key string, s synset, err error) {
	fields, gloss, _ := strings.Cut(line, "|")
	f := strings.Fields(fields)
	if len(f) < 6 {
		return "", s, fmt.Errorf("the line %.40q is no synset", line)
	}
	count, err := strconv.ParseUint(f[3], 16, 8)
	next := 4 + 2*int(count)
	if err != nil || len(f) <= next {
		return "", s, fmt.Errorf("the synset %s has %q words", f[0], f[3])
	}
	for i := 4; i < next; i += 2 {
		word, _, _ := strings.Cut(f[i], "(") // "(p)": where an adjective stands
		s.words = append(s.words, strings.ReplaceAll(word, "_", " "))
	}
	ties, err := strconv.Atoi(f[next])
	if err != nil || len(f) < next+1+4*ties {
		return "", s, fmt.Errorf("the synset %s has %q pointers", f[0], f[next])
	}
	for i := next + 1; i < next+1+4*ties; i += 4 {
		tie := kind(f[i+2]) + f[i+1]
		if len(f[i]) == 1 && strings.Contains(related, f[i]) && !slices.Contains(s.ties, tie) {
			s.ties = append(s.ties, tie)
		}
	}
	s.gloss = strings.TrimSpace(gloss)
	return kind(f[2]) + f[0], s, nil
}

// kind is the part of speech of a synset: adjective satellites lie in the
// file of the adjectives.
func kind(s string) string {
	if s == "s" {
		return "a"
	}
	return s
}
