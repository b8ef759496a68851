package embed

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
)

// BuiltinModel names the built-in embedder. The name changes with the table:
// vectors of two tables must not be compared.
const BuiltinModel = "dubnium-words-1"

// BuiltinDimensions is the length of its vectors: of the words' meanings, then
// of their spelling.
const BuiltinDimensions = tableDimensions + spellingDimensions

const (
	tableDimensions    = 128
	spellingDimensions = 256
	// spellingShare is the length of the half of the spelling, where that of
	// the meaning has 1.
	spellingShare = 0.7
	// builtinMaxBytes is how much of a text is read.
	builtinMaxBytes = 64 << 10
)

//go:embed words.vec
var builtinTable string

var loadBuiltin = sync.OnceValues(func() (table, error) {
	t, err := parseTable(builtinTable)
	if err == nil && t.dimensions != tableDimensions {
		err = fmt.Errorf("it has %d dimensions, not %d", t.dimensions, tableDimensions)
	}
	if err != nil {
		err = fmt.Errorf("the program's own table of word vectors: %w", err)
	}
	return t, err
})

// Builtin is the embedder that needs no model and no server: the mean of a
// text's word vectors, beside a hash of its spelling. It knows English words,
// not their order, and is no rival of a sentence model; but it costs some ten
// microseconds a text, works without a network, and finds exact names.
type Builtin struct{ table table }

// NewBuiltin gives the built-in embedder.
func NewBuiltin() (*Builtin, error) {
	t, err := loadBuiltin()
	if err != nil {
		return nil, err
	}
	return &Builtin{t}, nil
}

// Model is [BuiltinModel].
func (*Builtin) Model() string { return BuiltinModel }

// Dimensions is [BuiltinDimensions].
func (*Builtin) Dimensions() int { return BuiltinDimensions }

// Embed implements [Embedder]. Only a text without any visible character, or
// without a word and not in UTF-8, is refused.
func (b *Builtin) Embed(ctx context.Context, texts []string, _ Kind) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		vector, err := b.vector(text)
		if err != nil {
			return nil, itemError(i, "embed a text of %d bytes: %w", len(text), err)
		}
		vectors[i] = vector
	}
	return vectors, nil
}

func (b *Builtin) vector(text string) ([]float32, error) {
	text = text[:min(len(text), builtinMaxBytes)]
	vector := make([]float32, BuiltinDimensions)
	words := Words(text)
	if len(words) == 0 {
		words = signs(text)
	}
	if !b.table.mean(words, vector[:tableDimensions]) {
		clear(vector[:tableDimensions])
	}
	spelling := vector[tableDimensions:]
	hashed(words, b.table.rarity, spelling)
	if err := normalise(spelling); err != nil {
		return nil, err
	}
	for i := range spelling {
		spelling[i] *= spellingShare
	}
	return vector, normalise(vector)
}
