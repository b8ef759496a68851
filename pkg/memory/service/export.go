package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// An export is JSON lines: a header, what memories belong to, the memories, the
// oldest first, their lineage, and an end that counts the lines before it.
// Retrieval events are no part of it: they say what was asked here.

// The kinds of a line.
const (
	kindScope      = "scope"
	kindSession    = "session"
	kindTask       = "task"
	kindArtifact   = "artifact"
	kindContent    = "content"
	kindMemory     = "memory"
	kindProvenance = "provenance"
	kindEnd        = "end"
)

// exportVersion is that of the format.
const exportVersion = 1

// line is one line of an export; by its kind, one of the members is set.
type line struct {
	Kind          string              `json:"kind"`
	SchemaVersion int                 `json:"schema_version,omitempty"`
	Scope         memory.Scope        `json:"scope,omitempty"`
	Session       *memory.Session     `json:"session,omitempty"`
	Task          *memory.Task        `json:"task,omitempty"`
	Checkpoints   []memory.Checkpoint `json:"checkpoints,omitempty"`
	Artifact      *memory.Artifact    `json:"artifact,omitempty"`
	Content       *contentPart        `json:"content,omitempty"`
	Memory        *memory.Memory      `json:"memory,omitempty"`
	Provenance    *memory.Provenance  `json:"provenance,omitempty"`
	Lines         int                 `json:"lines,omitempty"`
}

// contentPart is a part of an artifact's content; the parts are in order.
type contentPart struct {
	SHA256 string `json:"sha256"`
	Last   bool   `json:"last"`
	Data   []byte `json:"data"` // base64 on the wire
}

// partSize is how much of a content a line holds.
const partSize = 256 << 10

// exportPage is how many rows are read at a time.
const exportPage = 500

// Export writes a scope.
func (s *Service) Export(ctx context.Context, scope memory.Scope, w io.Writer) error {
	if err := checkScope(scope); err != nil {
		return err
	}
	e := exporter{Service: s, ctx: ctx, scope: scope, w: json.NewEncoder(w)}
	e.w.SetEscapeHTML(false)
	for _, part := range []func() error{e.head, e.sessions, e.tasks, e.artifacts, e.memories, e.provenance} {
		if err := part(); err != nil {
			return fmt.Errorf("export %s: %w", scope, err)
		}
	}
	return e.w.Encode(line{Kind: kindEnd, Lines: e.lines})
}

type exporter struct {
	*Service
	ctx   context.Context
	scope memory.Scope
	w     *json.Encoder
	lines int
}

func (e *exporter) write(l line) error {
	e.lines++
	return e.w.Encode(l)
}

func (e *exporter) head() error {
	return e.write(line{Kind: kindScope, SchemaVersion: exportVersion, Scope: e.scope})
}

// each reads a list page by page.
func each[T any](page func(after store.Position) ([]T, error), at func(T) store.Position, f func(T) error) error {
	var after store.Position
	for {
		rows, err := page(after)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := f(row); err != nil {
				return err
			}
			after = at(row)
		}
		if len(rows) < exportPage {
			return nil
		}
	}
}

func (e *exporter) sessions() error {
	return each(func(after store.Position) ([]memory.Session, error) {
		return e.store.Sessions(e.ctx, e.scope, after, exportPage)
	},
		func(v memory.Session) store.Position { return store.Position{CreatedAt: v.CreatedAt, ID: v.ID} },
		func(v memory.Session) error {
			v.Memories = 0 // counted, not kept
			return e.write(line{Kind: kindSession, Session: &v})
		})
}

func (e *exporter) tasks() error {
	return each(func(after store.Position) ([]memory.Task, error) {
		return e.store.Tasks(e.ctx, e.scope, nil, after, exportPage)
	},
		func(v memory.Task) store.Position { return store.Position{CreatedAt: v.CreatedAt, ID: v.ID} },
		func(v memory.Task) error {
			var all []memory.Checkpoint
			for {
				some, err := e.store.Checkpoints(e.ctx, e.scope, v.ID, len(all), exportPage)
				if err != nil {
					return err
				}
				if all = append(all, some...); len(some) < exportPage {
					return e.write(line{Kind: kindTask, Task: &v, Checkpoints: all})
				}
			}
		})
}

func (e *exporter) artifacts() error {
	return each(func(after store.Position) ([]memory.Artifact, error) {
		return e.store.Artifacts(e.ctx, e.scope, after, exportPage)
	},
		func(v memory.Artifact) store.Position { return store.Position{CreatedAt: v.CreatedAt, ID: v.ID} },
		func(v memory.Artifact) error {
			if err := e.content(v); err != nil {
				return err
			}
			return e.write(line{Kind: kindArtifact, Artifact: &v})
		})
}

// content writes what is in an artifact.
func (e *exporter) content(a memory.Artifact) error {
	r, err := e.contentOf(a)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		part := make([]byte, partSize)
		n, err := io.ReadFull(r, part)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		if err := e.write(line{Kind: kindContent, Content: &contentPart{SHA256: a.SHA256, Last: last, Data: part[:n]}}); err != nil || last {
			return err
		}
	}
}

func (e *exporter) memories() error {
	return each(func(after store.Position) ([]memory.Memory, error) {
		return e.store.List(e.ctx, e.scope, store.List{After: after, Limit: exportPage})
	},
		func(v memory.Memory) store.Position { return store.Position{CreatedAt: v.CreatedAt, ID: v.ID} },
		func(v memory.Memory) error { return e.write(line{Kind: kindMemory, Memory: &v}) })
}

func (e *exporter) provenance() error {
	return each(func(after store.Position) ([]memory.Provenance, error) {
		return e.store.Lineage(e.ctx, e.scope, after, exportPage)
	},
		func(v memory.Provenance) store.Position { return store.Position{CreatedAt: v.CreatedAt, ID: v.ID} },
		func(v memory.Provenance) error { return e.write(line{Kind: kindProvenance, Provenance: &v}) })
}
