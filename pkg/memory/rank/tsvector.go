package rank

import (
	"encoding/binary"
	"fmt"
)

// The classes of a lexeme's positions, as setweight(tsvector, "char") gives
// them: the memory itself (its text, its speaker, the words of its date), the
// memory before it in its session, the one after it, and those two away.
const (
	own = iota
	previous
	next
	around
	classes
)

// maxLexeme is the longest lexeme that Postgres stores, in bytes.
const maxLexeme = 2046

// lexeme is one word of a tsvector: where it is in the data, and how often
// each class has it.
type lexeme struct {
	from, to int
	hash     uint32
	count    [classes]uint16
}

// tsvector is what tsvectorsend(tsvector) gives, being read: a count in 32
// bits, and for each lexeme its text, a NUL, the number of its positions in 16
// bits, and the positions in 16 bits each, the class in the top two (3 is A).
// Integers are big-endian; see tsvectorsend in Postgres's
// src/backend/utils/adt/tsvector.c.
type tsvector struct {
	data []byte
	at   int
	// lexemes is how many are still to be read.
	lexemes int
}

// open begins to read data; no bytes at all are a tsvector of nothing.
func open(data []byte) (tsvector, error) {
	v := tsvector{data: data}
	if len(data) == 0 {
		return v, nil
	}
	if len(data) < 4 {
		return v, v.torn("the count of lexemes is torn")
	}
	n := binary.BigEndian.Uint32(data)
	v.at = 4
	// A lexeme takes four bytes or more: a letter, the NUL, the number of positions.
	if int64(n)*4 > int64(len(data)-4) || n == 0 && len(data) > 4 {
		return v, v.torn("the count of lexemes does not fit")
	}
	v.lexemes = int(n)
	return v, nil
}

// next reads a lexeme. One without positions, as strip(tsvector) leaves it,
// counts once as the memory's own.
func (v *tsvector) next(lex *lexeme) error {
	data, at := v.data, v.at
	h := uint32(2166136261)
	for at < len(data) && data[at] != 0 {
		h = (h ^ uint32(data[at])) * 16777619
		at++
	}
	if at == v.at || at-v.at > maxLexeme || at+3 > len(data) {
		return v.torn("a lexeme is empty, too long or torn")
	}
	*lex = lexeme{from: v.at, to: at, hash: h}
	n := int(data[at+1])<<8 | int(data[at+2])
	at += 3
	if at+2*n > len(data) {
		return v.torn("the positions of a lexeme are torn")
	}
	if n == 0 {
		lex.count[own] = 1
	}
	for end := at + 2*n; at < end; at += 2 {
		lex.count[3-data[at]>>6]++
	}
	v.at = at
	v.lexemes--
	if v.lexemes == 0 && at != len(data) {
		return v.torn("more follows the last lexeme")
	}
	return nil
}

func (v *tsvector) torn(what string) error {
	return fmt.Errorf("read tsvector: byte %d of %d: %s", v.at, len(v.data), what)
}

// hash is FNV-1a of a word, in 32 bits.
func hash(word string) uint32 {
	h := uint32(2166136261)
	for i := range len(word) {
		h = (h ^ uint32(word[i])) * 16777619
	}
	return h
}

// Lexemes lists the words of a tsvector in the bytes of tsvectorsend, in their
// order, such as those of to_tsvector(query) for [Query.Lexemes].
func Lexemes(data []byte) ([]string, error) {
	v, err := open(data)
	if err != nil {
		return nil, err
	}
	words := make([]string, 0, v.lexemes)
	for v.lexemes > 0 {
		var lex lexeme
		if err := v.next(&lex); err != nil {
			return nil, err
		}
		words = append(words, string(data[lex.from:lex.to]))
	}
	return words, nil
}
