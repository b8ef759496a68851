package embed

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// maxSecret bounds a file that holds a secret.
const maxSecret = 64 << 10

// Configured gives the embedder of the configuration; nil for provider "none".
func Configured(root hostfs.Root, c config.MemoryEmbeddings) (Embedder, error) {
	switch c.Provider {
	case config.EmbedderNone:
		return nil, nil
	case config.EmbedderBuiltin:
		return NewBuiltin()
	}
	key := ""
	if c.APIKeyFile != "" {
		text, err := root.ReadLimited(c.APIKeyFile, maxSecret)
		if err != nil {
			return nil, fmt.Errorf("read memory.embeddings.apiKeyFile: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		key = strings.TrimSpace(first)
	}
	return NewOpenAI(OpenAIConfig{
		URL: c.URL, Key: key, Model: c.Model, Preset: PresetFor(c), Batch: c.Batch, Timeout: c.Timeout.Std(),
	})
}

// PresetFor is what is known of the configured model, and what the
// configuration says instead.
func PresetFor(c config.MemoryEmbeddings) Preset {
	p, _ := PresetOf(c.Model)
	p.Dimensions = c.Dimensions
	p.QueryPrefix = cmp.Or(c.QueryPrefix, p.QueryPrefix)
	p.DocumentPrefix = cmp.Or(c.DocumentPrefix, p.DocumentPrefix)
	return p
}
