package main

import (
	"bufio"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/ryjen/dubnium/pkg/memory/embed"
)

// text is what is trained on: lines of words as the embedder sees them.
type text struct{ lines []string }

// add puts the words of the pieces into one line.
func (t *text) add(pieces ...string) {
	var words []string
	for _, piece := range pieces {
		for _, word := range embed.Words(piece) {
			words = append(words, embed.Parts(word)...)
		}
	}
	if len(words) > 0 {
		t.lines = append(t.lines, strings.Join(words, " "))
	}
}

// write writes the lines in an order that is random, and always the same: the
// rate of learning falls from the first line to the last, and no source shall
// have all of it.
func (t *text) write(out io.Writer) error {
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(t.lines), func(i, j int) {
		t.lines[i], t.lines[j] = t.lines[j], t.lines[i]
	})
	w := bufio.NewWriter(out)
	for _, line := range t.lines {
		if _, err := w.WriteString(line + "\n"); err != nil {
			return err
		}
	}
	return w.Flush()
}
