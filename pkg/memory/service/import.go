package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// maxLine bounds a line of an import: a part of a content in base64, or a
// memory with the longest text and objects, and a task with its checkpoints.
const maxLine = 16 << 20

// importPart is how many lines are written in one transaction.
const importPart = 500

// Import reads what Export wrote, by the same rules as every write: what is
// over a bound is refused, secrets are taken out, residue is flagged. Parts of
// importPart lines are written at a time, each all or none; an import that
// broke off is sent again, and goes on where it was.
func (s *Service) Import(ctx context.Context, r io.Reader) (memory.Imported, error) {
	i := importer{Service: s, ctx: ctx, superseded: map[uuid.UUID]uuid.UUID{}}
	defer i.abandon()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		i.n++
		if err := i.line(lines.Bytes()); err != nil {
			return i.done, i.at(err)
		}
	}
	i.n++
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return i.done, i.at(memory.FieldErrorf("", "too-long", "is longer than %d bytes", maxLine))
	case err != nil:
		return i.done, fmt.Errorf("read the import: %w", err)
	case !i.ended:
		return i.done, i.at(memory.FieldErrorf("", "malformed", "is missing: the import broke off, or is none"))
	}
	return i.done, nil
}

type importer struct {
	*Service
	ctx        context.Context
	scope      memory.Scope
	n          int // of the line
	part       store.Archive
	held       int
	superseded map[uuid.UUID]uuid.UUID
	content    *pendingContent
	done       memory.Imported
	ended      bool
}

// at names the line in what is wrong.
func (i *importer) at(err error) error {
	var invalid memory.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	named := make(memory.Invalid, len(invalid))
	for n, f := range invalid {
		path := fmt.Sprintf("line[%d]", i.n)
		if f.Field != "" {
			path += "." + f.Field
		}
		f.Field = path
		named[n] = f
	}
	return named
}

func (i *importer) line(text []byte) error {
	if !utf8.Valid(text) {
		return memory.FieldErrorf("", "not-utf8", "is not valid UTF-8")
	}
	var l line
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return memory.FieldErrorf("", "malformed", "is no line of an export")
	}
	switch {
	case i.ended:
		return memory.FieldErrorf("", "malformed", "follows the end")
	case i.n == 1 && l.Kind != kindScope:
		return memory.FieldErrorf("kind", "malformed", "is not scope: an export begins with one")
	case i.content != nil && l.Kind != kindContent:
		return memory.FieldErrorf("kind", "malformed", "is not content, of which a part is missing")
	}
	return i.take(l)
}

func (i *importer) take(l line) error {
	missing := memory.FieldErrorf(l.Kind, "required", "is missing")
	switch l.Kind {
	case kindScope:
		return i.head(l)
	case kindSession:
		if l.Session == nil {
			return missing
		}
		return i.session(*l.Session)
	case kindTask:
		if l.Task == nil {
			return missing
		}
		return i.task(*l.Task, l.Checkpoints)
	case kindContent:
		if l.Content == nil {
			return missing
		}
		return i.takeContent(*l.Content)
	case kindArtifact:
		if l.Artifact == nil {
			return missing
		}
		return i.artifact(*l.Artifact)
	case kindMemory:
		if l.Memory == nil {
			return missing
		}
		return i.memory(*l.Memory)
	case kindProvenance:
		if l.Provenance == nil {
			return missing
		}
		return i.provenance(*l.Provenance)
	case kindEnd:
		return i.end(l)
	}
	return memory.FieldErrorf("kind", "not-one-of", "is no kind of line that this version knows")
}

func (i *importer) head(l line) error {
	if i.n != 1 {
		return memory.FieldErrorf("kind", "malformed", "is scope again: an import is of one scope")
	}
	if l.SchemaVersion != exportVersion {
		return memory.FieldErrorf("schema_version", "not-one-of", "is not %d", exportVersion)
	}
	var c cleaner
	c.label("scope", string(l.Scope))
	i.scope = l.Scope
	return errors.Join(checkScope(l.Scope), c.err())
}

// same refuses what is of another scope than the import's.
func (i *importer) same(scope memory.Scope) error {
	if scope != i.scope {
		return memory.FieldErrorf("scope", "not-one-of", "is another scope than that of the import")
	}
	return nil
}

func (i *importer) end(l line) error {
	if l.Lines != i.n-1 {
		return memory.FieldErrorf("lines", "malformed", "is not the number of lines before it: some are missing")
	}
	if err := i.flush(); err != nil {
		return err
	}
	if len(i.superseded) > 0 {
		if _, err := i.store.Restore(i.ctx, i.scope, store.Archive{Superseded: i.superseded}); err != nil {
			return err
		}
	}
	i.ended = true
	return nil
}

// hold counts what waits to be written, and writes it when it is enough.
func (i *importer) hold() error {
	i.held++
	if i.held < importPart {
		return nil
	}
	return i.flush()
}

func (i *importer) flush() error {
	if i.held == 0 {
		return nil
	}
	existing, err := i.store.Restore(i.ctx, i.scope, i.part)
	if err != nil {
		return err
	}
	i.done.Sessions += len(i.part.Sessions)
	i.done.Tasks += len(i.part.Tasks)
	i.done.Artifacts += len(i.part.Artifacts)
	i.done.Memories += len(i.part.Memories)
	i.done.Existing += existing
	i.part, i.held = store.Archive{}, 0
	return nil
}

func (i *importer) session(v memory.Session) error {
	if err := errors.Join(i.same(v.Scope), memory.NewSession{Scope: v.Scope, Title: v.Title, Metadata: v.Metadata}.Check(), year("created_at", &v.CreatedAt), year("ended_at", v.EndedAt)); err != nil {
		return err
	}
	var c cleaner
	v.Title, v.Metadata, v.Memories = clip(c.text("title", v.Title)), c.object("metadata", v.Metadata), 0
	i.part.Sessions = append(i.part.Sessions, v)
	return i.hold()
}

func (i *importer) task(v memory.Task, checkpoints []memory.Checkpoint) error {
	if err := errors.Join(i.same(v.Scope), memory.NewTask{Scope: v.Scope, Title: v.Title, Status: v.Status, State: v.State}.Check(),
		count("version", v.Version), year("created_at", &v.CreatedAt), year("updated_at", &v.UpdatedAt)); err != nil {
		return err
	}
	var c cleaner
	v.Title, v.State = clip(c.text("title", v.Title)), c.object("state", v.State)
	was := 0
	for n, at := range checkpoints {
		if err := errors.Join((memory.ChangeTask{Status: at.Status, State: at.State}).Check(), count("sequence", at.Sequence), year("created_at", &at.CreatedAt)); err != nil {
			return below(fmt.Sprintf("checkpoints[%d].", n), err)
		}
		if at.Sequence <= was {
			return memory.FieldErrorf(fmt.Sprintf("checkpoints[%d].sequence", n), "malformed", "does not follow the one before it")
		}
		was = at.Sequence
		checkpoints[n].State = c.object("checkpoints", at.State)
	}
	i.part.Tasks = append(i.part.Tasks, store.ArchivedTask{Task: v, Checkpoints: checkpoints})
	return i.hold()
}

func (i *importer) artifact(v memory.Artifact) error {
	if err := errors.Join(i.same(v.Scope), v.Check(), year("created_at", &v.CreatedAt)); err != nil {
		return err
	}
	size, err := i.sizeOf(v.SHA256)
	if err != nil {
		return memory.FieldErrorf("sha256", "mismatch", "names a content that did not come before")
	}
	if size != v.SizeBytes {
		return memory.FieldErrorf("size_bytes", "mismatch", "is not the size of the content that came before, which has %d bytes", size)
	}
	var c cleaner
	v.Name, v.Provenance, v.StorageURI = clip(c.text("name", v.Name)), c.object("provenance", v.Provenance), storageURI(v.SHA256)
	i.part.Artifacts = append(i.part.Artifacts, v)
	return i.hold()
}

func (i *importer) memory(v memory.Memory) error {
	e, err := i.entry(memory.Draft{
		ID: &v.ID, MemoryType: v.MemoryType, Summary: v.Summary, Scope: v.Scope, Source: v.Source, SessionID: v.SessionID, TaskID: v.TaskID,
		Speaker: v.Speaker, OccurredAt: v.OccurredAt, Importance: v.Importance, Confidence: v.Confidence, Sensitivity: v.Sensitivity,
		ValidationStatus: v.ValidationStatus, Provenance: v.Provenance, Metadata: v.Metadata,
		// The TTL is the export's, none included.
		TTL: &memory.Latest,
	})
	if err := errors.Join(i.same(v.Scope), err, checkArchived(v)); err != nil {
		return err
	}
	v.Summary, v.Source, v.Speaker, v.Provenance, v.Metadata = e.Summary, e.Source, e.Speaker, e.Provenance, e.Metadata
	v.Flags = e.Flags
	if len(e.Redactions) > 0 { // the spans that came are of another text
		v.Redactions = e.Redactions
	}
	if v.SupersededBy != nil {
		i.superseded[v.ID] = *v.SupersededBy
		v.SupersededBy = nil
	}
	i.part.Memories = append(i.part.Memories, v)
	return i.hold()
}

func (i *importer) provenance(v memory.Provenance) error {
	err := memory.NewProvenance{Scope: i.scope, MemoryID: v.MemoryID, ArtifactID: v.ArtifactID, RetrievalEventID: v.RetrievalEventID, SourceIdentity: v.SourceIdentity, SourceEvent: v.SourceEvent}.Check()
	if err != nil {
		return err
	}
	if v.RetrievalEventID != nil {
		return memory.FieldErrorf("retrieval_event_id", "unknown-field", "is there: events are no part of an export")
	}
	var c cleaner
	c.label("source_identity", v.SourceIdentity)
	v.SourceEvent = c.object("source_event", v.SourceEvent)
	if err := c.err(); err != nil {
		return err
	}
	i.part.Provenance = append(i.part.Provenance, v)
	return i.hold()
}

// pendingContent is a content of which parts are to come: they go through a
// pipe to the folder of the artifacts.
type pendingContent struct {
	digest string
	w      *io.PipeWriter
	got    chan string // the digest of what came
	failed chan error
}

func (i *importer) takeContent(part contentPart) error {
	if i.content == nil {
		r, w := io.Pipe()
		p := &pendingContent{digest: part.SHA256, w: w, got: make(chan string, 1), failed: make(chan error, 1)}
		go func() {
			digest, _, err := i.contents.Put(r)
			_ = r.CloseWithError(err) // so that nobody writes on
			p.got <- digest
			p.failed <- err
		}()
		i.content = p
	}
	p := i.content
	if part.SHA256 != p.digest {
		return memory.FieldErrorf("content.sha256", "mismatch", "is another content, and the one before is not whole")
	}
	_, err := p.w.Write(part.Data)
	if err == nil && !part.Last {
		return nil
	}
	i.content = nil
	_ = p.w.Close()
	digest := <-p.got
	if put := <-p.failed; put != nil {
		return put
	}
	if err != nil {
		return err
	}
	if digest != p.digest {
		return memory.FieldErrorf("content.sha256", "mismatch", "is not the digest of what came")
	}
	return nil
}

// abandon ends a content that is not whole; it is stored nowhere.
func (i *importer) abandon() {
	if p := i.content; p != nil {
		_ = p.w.CloseWithError(io.ErrUnexpectedEOF)
		<-p.failed
	}
}
