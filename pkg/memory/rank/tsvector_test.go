package rank

import (
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sent is tsvectorsend(tsvector) as Postgres 15 gave it, of
// '1999':10A 'ann':6A,13C 'boat':4A,8A,12B,16 'hello':15 'paid':14C 'sold':2A.
const sent = "0000000631393939000001c00a616e6e000002c006400d626f6174000004c004c008800c0010" +
	"68656c6c6f000001000f70616964000001400e736f6c64000001c002"

// stripped is that of strip(to_tsvector('english', 'boat ann')).
const stripped = "00000002616e6e000000626f6174000000"

// terms is the tsvectorsend of texts by class, whose words are their lexemes.
func terms(texts ...string) []byte {
	words := map[string][]byte{}
	position := 0
	for class, text := range texts {
		for _, word := range strings.Fields(strings.ToLower(text)) {
			if word = strings.Trim(word, ".,?!"); word == "" {
				continue
			}
			position++
			words[word] = binary.BigEndian.AppendUint16(words[word], uint16(3-class)<<14|uint16(position&0x3fff))
		}
	}
	data := binary.BigEndian.AppendUint32(nil, uint32(len(words)))
	for _, word := range slices.Sorted(maps.Keys(words)) {
		data = append(append(data, word...), 0)
		data = binary.BigEndian.AppendUint16(data, uint16(len(words[word])/2))
		data = append(data, words[word]...)
	}
	return data
}

func TestReadsWhatPostgresSends(t *testing.T) {
	data, err := hex.DecodeString(sent)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][classes]uint16{}
	v, err := open(data)
	for err == nil && v.lexemes > 0 {
		var lex lexeme
		if err = v.next(&lex); err == nil {
			got[string(data[lex.from:lex.to])] = lex.count
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][classes]uint16{
		"1999": {1}, "ann": {own: 1, next: 1}, "boat": {2, 1, 0, 1}, "hello": {around: 1}, "paid": {next: 1}, "sold": {1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	words, err := Lexemes(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1999", "ann", "boat", "hello", "paid", "sold"}, words); diff != "" {
		t.Error(diff)
	}
}

func TestReadsStrippedTerms(t *testing.T) {
	data, err := hex.DecodeString(stripped)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := Order(Query{Lexemes: []string{"boat"}}, []Candidate{{ID: "a"}, {ID: "b", Terms: data}}, Statistics{}, Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if hits[0].ID != "b" || hits[0].Lexical <= 0 || hits[1].Score != 0 {
		t.Errorf("the stripped terms count nothing: %+v", hits)
	}
}

func TestRefusesGarbledTerms(t *testing.T) {
	for name, data := range map[string][]byte{
		"half a count":          {0, 0},
		"more than fits":        {0, 0, 0, 9, 'a', 0, 0, 0},
		"a huge count":          {0xff, 0xff, 0xff, 0xff, 'a', 0, 0, 0},
		"bytes after none":      {0, 0, 0, 0, 'a'},
		"no end of a lexeme":    {0, 0, 0, 1, 'a', 'b', 'c', 'd'},
		"an empty lexeme":       {0, 0, 0, 1, 0, 0, 0, 0},
		"no positions":          {0, 0, 0, 1, 'a', 0, 0, 2, 0xc0, 1},
		"bytes after the last":  {0, 0, 0, 1, 'a', 0, 0, 0, 'b'},
		"a lexeme of 2,047":     append(append([]byte{0, 0, 0, 1}, strings.Repeat("a", 2047)...), 0, 0, 0),
		"the second one is off": append(terms("a b")[:12], 0),
	} {
		if words, err := Lexemes(data); err == nil {
			t.Errorf("%s: read as %q", name, words)
		}
		_, err := Order(Query{}, []Candidate{{ID: "m1", Terms: data}}, Statistics{}, Defaults())
		if err == nil || !strings.Contains(err.Error(), "m1") {
			t.Errorf("%s: %v does not name the memory", name, err)
		}
	}
}

func FuzzLexemes(f *testing.F) {
	for _, s := range []string{sent, stripped, "", "00000000"} {
		data, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		words, err := Lexemes(data)
		if err != nil {
			if _, err := Order(Query{}, []Candidate{{Terms: data}}, Statistics{}, Defaults()); err == nil {
				t.Error("Order takes what Lexemes refuses")
			}
			return
		}
		size := 4
		for _, word := range words {
			if word == "" || strings.Contains(word, "\x00") {
				t.Errorf("lexeme %q", word)
			}
			size += len(word) + 3
		}
		if size > max(len(data), 4) {
			t.Errorf("%d bytes hold lexemes of %d", len(data), size)
		}
		hits, err := Order(Query{Lexemes: words}, []Candidate{{ID: "a", Terms: data}}, Statistics{}, Defaults())
		if err != nil || len(hits) != 1 || len(words) > 0 && !(hits[0].Score >= 0) {
			t.Errorf("%v, %v", hits, err)
		}
	})
}
