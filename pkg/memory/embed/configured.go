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

// Configured gives the embedder of the configuration first, and then those that
// memories may still be embedded with: the built-in one needs nothing, so a
// machine that is on its way to another model goes on with it until the switch.
// There is none for provider "none".
func Configured(root hostfs.Root, c config.MemoryEmbeddings) ([]Embedder, error) {
	if c.Provider == config.EmbedderNone {
		return nil, nil
	}
	builtin, err := NewBuiltin()
	if err != nil {
		return nil, err
	}
	if c.Provider == config.EmbedderBuiltin {
		return []Embedder{builtin}, nil
	}
	remote, err := configuredOpenAI(root, c)
	if err != nil {
		return nil, err
	}
	return []Embedder{remote, builtin}, nil
}

func configuredOpenAI(root hostfs.Root, c config.MemoryEmbeddings) (*OpenAI, error) {
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
