package memory

import (
	"fmt"
	"regexp"
)

// limit checks the length of a page.
func (l *list) limit(n int) {
	// One row more says whether there is another page.
	if n < 1 || n > MaxPage+1 {
		l.add("limit", "out-of-range", "is not between 1 and %d", MaxPage)
	}
}

// Check returns [Invalid] with all that is wrong with the list, or nil.
func (m MemoryList) Check() error {
	var l list
	l.scope("scope", m.Scope)
	word(&l, "memory_type", m.MemoryType, Types, false)
	word(&l, "validation_status", m.ValidationStatus, Validations, false)
	word(&l, "status", m.Status, Statuses, false)
	l.text("sensitivity", m.Sensitivity, MaxSensitivity, false)
	l.limit(m.Limit)
	return l.err()
}

// Check returns [Invalid] with all that is wrong with the list, or nil.
func (s ScopeList) Check() error {
	var l list
	l.scope("scope", s.Scope)
	word(&l, "status", s.Status, TaskStatuses, false)
	l.limit(s.Limit)
	return l.err()
}

// Check returns [Invalid] with all that is wrong with the session, or nil.
func (n NewSession) Check() error {
	var l list
	l.scope("scope", n.Scope)
	l.text("title", n.Title, MaxTitle, false)
	l.object("metadata", n.Metadata)
	return l.err()
}

// Check returns [Invalid] with all that is wrong with the task, or nil.
func (n NewTask) Check() error {
	var l list
	l.scope("scope", n.Scope)
	l.text("title", n.Title, MaxTitle, false)
	word(&l, "status", n.Status, TaskStatuses, false)
	l.object("state", n.State)
	return l.err()
}

// Check returns [Invalid] with all that is wrong with the change, or nil.
func (c ChangeTask) Check() error {
	var l list
	if c.Status == "" && c.State == nil {
		l.add("status", "required", "is empty, and so is state: name what changes")
	}
	word(&l, "status", c.Status, TaskStatuses, false)
	l.object("state", c.State)
	return l.err()
}

// Check returns [Invalid] with all that is wrong with the lineage, or nil.
func (n NewProvenance) Check() error {
	var l list
	l.scope("scope", n.Scope)
	l.subject(Subject{n.MemoryID, n.ArtifactID, n.RetrievalEventID})
	l.text("source_identity", n.SourceIdentity, MaxLabel, true)
	l.object("source_event", n.SourceEvent)
	return l.err()
}

// Check returns [Invalid] unless exactly one subject is named.
func (s Subject) Check() error {
	var l list
	l.subject(s)
	return l.err()
}

func (l *list) subject(s Subject) {
	named := 0
	for _, id := range []bool{s.MemoryID != nil, s.ArtifactID != nil, s.RetrievalEventID != nil} {
		if id {
			named++
		}
	}
	if named != 1 {
		l.add("memory_id", "required", "is one of memory_id, artifact_id, retrieval_event_id, of which exactly one is named; %d are", named)
	}
}

var (
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	mediaForm  = regexp.MustCompile(`^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:;[ -~]{0,256})?$`)
)

// Check returns [Invalid] with all that is wrong with what is known of an
// artifact, or nil. An empty digest is one that is not known yet.
func (a Artifact) Check() error {
	var l list
	l.scope("scope", a.Scope)
	l.text("artifact_type", a.ArtifactType, MaxLabel, true)
	l.text("name", a.Name, MaxName, false)
	l.text("sensitivity", a.Sensitivity, MaxSensitivity, a.Sensitivity != "")
	l.text("media_type", a.MediaType, MaxLabel, false)
	l.text("storage_uri", a.StorageURI, MaxURI, false)
	if a.SHA256 != "" && !digestForm.MatchString(a.SHA256) {
		l.add("sha256", "malformed", "is not 64 lower-case hexadecimal digits")
	}
	if a.MediaType != "" && !mediaForm.MatchString(a.MediaType) {
		l.add("media_type", "malformed", "is no media type, such as image/png")
	}
	l.object("provenance", a.Provenance)
	return l.err()
}

// Check returns [Invalid] with all that is wrong with the model, or nil.
func (n NewModel) Check() error {
	var l list
	l.text("name", n.Name, MaxLabel, true)
	word(&l, "provider", n.Provider, []string{"builtin", "openai"}, true)
	if n.Dimensions < 1 || n.Dimensions > maxDimensions {
		l.add("dimensions", "out-of-range", "is not between 1 and %d", maxDimensions)
	}
	l.text("query_prefix", n.QueryPrefix, MaxLabel, false)
	l.text("document_prefix", n.DocumentPrefix, MaxLabel, false)
	l.score("weight", n.Weight)
	return l.err()
}

// maxDimensions is the longest halfvec that pgvector can index.
const maxDimensions = 4000

// FieldErrorf makes an Invalid of one field.
func FieldErrorf(field, reason, format string, args ...any) Invalid {
	return Invalid{{field, reason, fmt.Sprintf(format, args...)}}
}
