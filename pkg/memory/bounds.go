package memory

import "time"

// The bounds of what is stored and asked. Lengths are in characters (Unicode
// code points) unless they say bytes.
const (
	MaxSummary     = 8000
	MaxQuery       = 4000
	MaxSource      = 128
	MaxSpeaker     = 128
	MaxSensitivity = 64
	MaxLabel       = 128
	MaxTitle       = 256
	MaxName        = 256
	MaxURI         = 2048
	MaxActorID     = 128
	MaxEnvelopeID  = 128
	// MaxObjectBytes bounds a JSON object as it is stored.
	MaxObjectBytes = 64 << 10
	// MaxObjectDepth bounds how deep its members nest.
	MaxObjectDepth = 16
	MaxLimit       = 32
	DefaultLimit   = 8
	MaxBatch       = 1000
	MaxArtifacts   = 32
	MaxLabels      = 16
	MaxTokenBudget = 1 << 20
	MaxPage        = 500
	DefaultPage    = 50
)

// Earliest and Latest bound every timestamp: what Postgres, RFC 3339 and a
// person can all read.
var (
	Earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	Latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)
