package memory

import (
	"time"

	"github.com/google/uuid"
)

// Draft is a memory that a caller asks to store. Only MemoryType, Summary,
// Scope and Source are required.
type Draft struct {
	ID               *uuid.UUID  `json:"id,omitempty"`
	MemoryType       Type        `json:"memory_type"`
	Summary          string      `json:"summary"`
	Scope            Scope       `json:"scope"`
	Source           string      `json:"source"`
	SessionID        *uuid.UUID  `json:"session_id,omitempty"`
	TaskID           *uuid.UUID  `json:"task_id,omitempty"`
	Speaker          string      `json:"speaker,omitempty"`
	OccurredAt       *time.Time  `json:"occurred_at,omitempty"`
	Importance       float64     `json:"importance,omitempty"`
	Confidence       float64     `json:"confidence,omitempty"`
	Sensitivity      string      `json:"sensitivity,omitempty"`
	ValidationStatus Validation  `json:"validation_status,omitempty"`
	TTL              *time.Time  `json:"ttl,omitempty"`
	Provenance       Object      `json:"provenance,omitempty"`
	Metadata         Object      `json:"metadata,omitempty"`
	ArtifactRefs     []uuid.UUID `json:"artifact_refs,omitempty"`
}

// Stored answers a request to store one memory.
type Stored struct {
	ID      uuid.UUID `json:"id"`
	Version int       `json:"version"`
	// Existing is true when the same memory was there already: nothing was
	// written, and ID is the one that was there.
	Existing bool `json:"existing" doc:"The same memory was there already: nothing was written, and the id is that one's."`
	// UnlinkedArtifacts are the artifact_refs of the request that the memory which
	// was there does not have. It stays as it is; to tie an artifact to it, record
	// provenance of the memory that names it.
	UnlinkedArtifacts []uuid.UUID `json:"unlinked_artifact_refs,omitempty" doc:"The artifact_refs of the request that the memory which was there does not refer to, and was not made to: lineage of it (POST /memory/provenance) can name them."`
	// SimilarTo lists near duplicates in the scope, most alike first. Nothing
	// is ever merged.
	SimilarTo  []Similar   `json:"similar_to"`
	Flags      []string    `json:"flags"`
	Redactions []Redaction `json:"redactions"`
}

// Similar is a near duplicate.
type Similar struct {
	ID uuid.UUID `json:"id"`
	// Similarity is in (0, 1]; 1 is the same words.
	Similarity float64 `json:"similarity"`
}

// Purpose is what the caller wants the memories for.
type Purpose string

// The purposes that an orchestrator may name.
const (
	Ask    Purpose = "ask"
	Plan   Purpose = "plan"
	Patch  Purpose = "patch"
	Review Purpose = "review"
	Test   Purpose = "test"
)

// Purposes lists them all.
var Purposes = []Purpose{Ask, Plan, Patch, Review, Test}

// ActorTypes are the kinds of requester.
var ActorTypes = []string{"human", "agent", "system"}

// Requester is who asks, as the caller says. The kernel's word about the
// caller is recorded beside it; see [Caller].
type Requester struct {
	ActorType string `json:"actor_type"`
	ActorID   string `json:"actor_id"`
}

// Retrieve asks for the memories of one scope that bear on a query.
type Retrieve struct {
	Query string `json:"query"`
	Scope Scope  `json:"scope"`
	// AllowedSensitivity lists the labels that may be returned; omitted, it is
	// [DefaultSensitivity] alone, and it must not be empty.
	AllowedSensitivity []string `json:"allowed_sensitivity,omitempty"`
	RequireVerified    bool     `json:"require_verified,omitempty"`
	// ExcludeFlagged leaves out memories with residue of prompt injection.
	ExcludeFlagged bool `json:"exclude_flagged,omitempty"`
	// MemoryTypes limits the classes; omitted, all are returned.
	MemoryTypes []Type `json:"memory_types,omitempty"`
	// SessionID limits the answer to one session.
	SessionID *uuid.UUID `json:"session_id,omitempty"`
	// Limit is in [1, 32], 8 when omitted.
	Limit int `json:"limit,omitempty"`
	// TokenBudget bounds the estimated tokens of all returned texts; 0 is no
	// bound. Texts are shortened to their telling sentences, ids never lost.
	TokenBudget int        `json:"token_budget,omitempty"`
	Purpose     Purpose    `json:"purpose,omitempty"`
	Requester   *Requester `json:"requester,omitempty"`
	EnvelopeID  string     `json:"envelope_id,omitempty"`
	// AsOf answers as at that instant for expiry and recency; omitted, now.
	AsOf *time.Time `json:"as_of,omitempty"`
}

// Hit is a memory that a retrieval returned: a candidate with its evidence,
// never an instruction.
type Hit struct {
	Memory
	// Rank counts from 1.
	Rank  int     `json:"rank"`
	Score float64 `json:"score"`
	// Parts explains the score, one number a part: those of [Summands] are added,
	// the others multiply their sum, and answer is added to that.
	Parts map[string]float64 `json:"parts"`
	// Shortened is true when the token budget cut the text.
	Shortened bool `json:"shortened,omitempty"`
	// Duplicates are the ids of memories with the same content that this hit
	// stands for.
	Duplicates []uuid.UUID `json:"duplicates,omitempty"`
	// Untrusted is true when the memory is unverified or flagged.
	Untrusted bool `json:"untrusted"`
}

// Retrieved answers a retrieval.
type Retrieved struct {
	Memories []Hit          `json:"memories"`
	Event    RetrievalEvent `json:"retrieval_event"`
}

// EventType tells retrievals from audits.
type EventType string

const (
	// EventRetrieval is a normal retrieval.
	EventRetrieval EventType = "retrieval"
	// EventAudit is an audit of rejected memory. What it returned must not be
	// used in a prompt.
	EventAudit EventType = "audit"
)

// RetrievalEvent records what was returned to whom, so that it can be audited
// and replayed. It does not prove that a memory entered a prompt.
type RetrievalEvent struct {
	ID    uuid.UUID `json:"id"`
	Type  EventType `json:"event_type"`
	Scope Scope     `json:"scope"`
	// Query is the query with its secrets redacted.
	Query               string      `json:"query"`
	ReturnedMemoryIDs   []uuid.UUID `json:"returned_memory_ids"`
	ReturnedArtifactIDs []uuid.UUID `json:"returned_artifact_ids"`
	Metadata            Filters     `json:"metadata"`
	Caller              Caller      `json:"caller"`
	// Model names the embedding model that took part; empty is none.
	Model string `json:"model,omitempty"`
	// Configuration is the digest of the ranking's settings.
	Configuration string    `json:"configuration"`
	AsOf          time.Time `json:"as_of"`
	LatencyMS     float64   `json:"latency_ms"`
	CreatedAt     time.Time `json:"created_at"`
}

// Filters are the conditions under which a retrieval ran, kept with its event.
type Filters struct {
	AllowedSensitivity []string   `json:"allowed_sensitivity"`
	RequireVerified    bool       `json:"require_verified"`
	ExcludeFlagged     bool       `json:"exclude_flagged"`
	MemoryTypes        []Type     `json:"memory_types,omitempty"`
	SessionID          *uuid.UUID `json:"session_id,omitempty"`
	Limit              int        `json:"limit"`
	TokenBudget        int        `json:"token_budget,omitempty"`
	Purpose            Purpose    `json:"purpose,omitempty"`
	Requester          *Requester `json:"requester,omitempty"`
	EnvelopeID         string     `json:"envelope_id,omitempty"`
}

// Caller is what the kernel says of the process that asked: SO_PEERCRED of a
// unix socket (unix(7)). Over TCP nothing is known, and Known is false.
type Caller struct {
	Known bool   `json:"known"`
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
	PID   int32  `json:"pid"`
	// Unit is the systemd unit of the process, where it could be read.
	Unit string `json:"unit,omitempty"`
}

// Replay compares a stored retrieval event with the same retrieval now.
type Replay struct {
	EventID uuid.UUID `json:"event_id"`
	Same    bool      `json:"same"`
	// Differences say, for each id that came, went or moved, why.
	Differences []Difference `json:"differences"`
	// Notes say what else is not as it was: the ranking's settings, the model.
	Notes []string `json:"notes"`
}

// Difference is one memory that a replay places otherwise.
type Difference struct {
	MemoryID uuid.UUID `json:"memory_id"`
	// Was and Is are ranks from 1; 0 is not returned.
	Was int `json:"was"`
	Is  int `json:"is"`
	// Why is a kebab-case word: deleted, expired, rejected, superseded,
	// changed, relabelled, stored-later, newly-embedded, reranked.
	Why     string `json:"why"`
	Message string `json:"message"`
}
