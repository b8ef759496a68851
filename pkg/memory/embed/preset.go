package embed

import "strings"

// Preset is what is true of a model wherever it runs.
type Preset struct {
	Dimensions int
	// QueryPrefix and DocumentPrefix are put before each text.
	QueryPrefix    string
	DocumentPrefix string
	// MaxBytes cuts texts, before the prefix, so that most fit the model's
	// context; 0 is no bound. It is an estimate, at three bytes a token.
	MaxBytes int
}

// presets are the models that are known, by a part of their name. The sources
// are the models' cards: BAAI/bge-*-en-v1.5 (512 tokens; a prefix for queries
// only) and nomic-ai/nomic-embed-text-v1.5 (8192 tokens, of which llama-server
// allows 2048 unless told otherwise; a prefix for both).
var presets = []struct {
	part   string
	preset Preset
}{
	{"bge-small-en", bge(384)},
	{"bge-base-en", bge(768)},
	{"bge-large-en", bge(1024)},
	{"nomic-embed-text", Preset{
		Dimensions: 768, QueryPrefix: "search_query: ", DocumentPrefix: "search_document: ", MaxBytes: 2048 * 3,
	}},
}

func bge(dimensions int) Preset {
	return Preset{
		Dimensions:  dimensions,
		QueryPrefix: "Represent this sentence for searching relevant passages: ",
		MaxBytes:    512 * 3,
	}
}

// PresetOf gives the preset of a model by its name, and false where the model
// is not known: then its dimensions have to be configured.
func PresetOf(model string) (Preset, bool) {
	model = strings.ToLower(model)
	for _, p := range presets {
		if strings.Contains(model, p.part) {
			return p.preset, true
		}
	}
	return Preset{}, false
}
