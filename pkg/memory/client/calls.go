package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
)

const (
	get   = http.MethodGet
	post  = http.MethodPost
	patch = http.MethodPatch
)

// Health says whether the service answers; Ready, whether its database does.
func (c *Client) Health(ctx context.Context) (map[string]any, error) {
	return ask[map[string]any](ctx, c, get, memory.PathHealth, nil, nil)
}

// Ready says whether the service can carry out requests, and what is missing.
func (c *Client) Ready(ctx context.Context) (memory.Readiness, error) {
	return ask[memory.Readiness](ctx, c, get, memory.PathReady, nil, nil)
}

// Store stores one memory.
func (c *Client) Store(ctx context.Context, d memory.Draft, o ...Option) (memory.Stored, error) {
	return ask[memory.Stored](ctx, c, post, memory.PathStore, nil, d, o...)
}

// StoreBatch stores many, all or none.
func (c *Client) StoreBatch(ctx context.Context, drafts []memory.Draft, o ...Option) (memory.StoredBatch, error) {
	return ask[memory.StoredBatch](ctx, c, post, memory.PathStoreBatch, nil, memory.StoreBatch{Memories: drafts}, o...)
}

// Retrieve asks for candidates.
func (c *Client) Retrieve(ctx context.Context, r memory.Retrieve) (memory.Retrieved, error) {
	return ask[memory.Retrieved](ctx, c, post, memory.PathRetrieve, nil, r)
}

// Audit asks for rejected memories, which must not be used in a prompt.
func (c *Client) Audit(ctx context.Context, r memory.Retrieve) (memory.Retrieved, error) {
	return ask[memory.Retrieved](ctx, c, post, memory.PathAudit, nil, r)
}

// Events lists retrieval events, newest first.
func (c *Client) Events(ctx context.Context, l List) (memory.Page[memory.RetrievalEvent], error) {
	return ask[memory.Page[memory.RetrievalEvent]](ctx, c, get, memory.PathEvents, l.query(), nil)
}

// Event gives one with its hits.
func (c *Client) Event(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.EventHits, error) {
	return ask[memory.EventHits](ctx, c, get, under(memory.PathEvents, id), of(scope), nil)
}

// Replay carries out a retrieval again and compares.
func (c *Client) Replay(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Replay, error) {
	return ask[memory.Replay](ctx, c, post, under(memory.PathEvents, id, "replay"), of(scope), nil)
}

// Memories lists the memories of a scope.
func (c *Client) Memories(ctx context.Context, l List) (memory.Page[memory.Memory], error) {
	return ask[memory.Page[memory.Memory]](ctx, c, get, memory.PathMemories, l.query(), nil)
}

// Memory gives one.
func (c *Client) Memory(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Memory, error) {
	return ask[memory.Memory](ctx, c, get, under(memory.PathMemories, id), of(scope), nil)
}

// Delete removes one, with its text, its vectors and its index entries.
func (c *Client) Delete(ctx context.Context, scope memory.Scope, id uuid.UUID, o ...Option) error {
	return c.do(ctx, http.MethodDelete, under(memory.PathMemories, id), of(scope), nil, nil, o...)
}

// Verify records that a reviewer found it true.
func (c *Client) Verify(ctx context.Context, scope memory.Scope, id uuid.UUID, o ...Option) (memory.Memory, error) {
	return ask[memory.Memory](ctx, c, post, under(memory.PathMemories, id, "verify"), of(scope), nil, o...)
}

// Reject takes it out of all normal retrievals.
func (c *Client) Reject(ctx context.Context, scope memory.Scope, id uuid.UUID, r memory.Reject, o ...Option) (memory.Memory, error) {
	return ask[memory.Memory](ctx, c, post, under(memory.PathMemories, id, "reject"), of(scope), r, o...)
}

// Promote makes it a memory of the next class.
func (c *Client) Promote(ctx context.Context, scope memory.Scope, id uuid.UUID, to memory.Type, o ...Option) (memory.Memory, error) {
	return ask[memory.Memory](ctx, c, post, under(memory.PathMemories, id, "promote"), of(scope), memory.Promote{MemoryType: to}, o...)
}

// Supersede stores a draft in the place of a memory.
func (c *Client) Supersede(ctx context.Context, scope memory.Scope, id uuid.UUID, d memory.Draft, o ...Option) (memory.Superseding, error) {
	return ask[memory.Superseding](ctx, c, post, under(memory.PathMemories, id, "supersede"), of(scope), d, o...)
}

// Expire removes what has outlived its TTL.
func (c *Client) Expire(ctx context.Context, e memory.Expire) (memory.Expiry, error) {
	return ask[memory.Expiry](ctx, c, post, memory.PathExpire, nil, e)
}

// NewSession begins a session.
func (c *Client) NewSession(ctx context.Context, n memory.NewSession) (memory.Session, error) {
	return ask[memory.Session](ctx, c, post, memory.PathSessions, nil, n)
}

// Sessions lists the sessions of a scope.
func (c *Client) Sessions(ctx context.Context, l List) (memory.Page[memory.Session], error) {
	return ask[memory.Page[memory.Session]](ctx, c, get, memory.PathSessions, l.query(), nil)
}

// Session gives one.
func (c *Client) Session(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error) {
	return ask[memory.Session](ctx, c, get, under(memory.PathSessions, id), of(scope), nil)
}

// Window gives the last turns of a session; 0 turns is the service's default.
func (c *Client) Window(ctx context.Context, scope memory.Scope, id uuid.UUID, turns int) (memory.Window, error) {
	q := of(scope)
	if turns > 0 {
		q.Set("turns", strconv.Itoa(turns))
	}
	return ask[memory.Window](ctx, c, get, under(memory.PathSessions, id, "window"), q, nil)
}

// EndSession ends one.
func (c *Client) EndSession(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Session, error) {
	return ask[memory.Session](ctx, c, post, under(memory.PathSessions, id, "end"), of(scope), nil)
}

// NewTask records a task.
func (c *Client) NewTask(ctx context.Context, n memory.NewTask) (memory.Task, error) {
	return ask[memory.Task](ctx, c, post, memory.PathTasks, nil, n)
}

// Tasks lists the tasks of a scope.
func (c *Client) Tasks(ctx context.Context, l List) (memory.Page[memory.Task], error) {
	return ask[memory.Page[memory.Task]](ctx, c, get, memory.PathTasks, l.query(), nil)
}

// Task gives one.
func (c *Client) Task(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Task, error) {
	return ask[memory.Task](ctx, c, get, under(memory.PathTasks, id), of(scope), nil)
}

// ChangeTask changes one; what it was becomes a checkpoint.
func (c *Client) ChangeTask(ctx context.Context, scope memory.Scope, id uuid.UUID, to memory.ChangeTask, o ...Option) (memory.Task, error) {
	return ask[memory.Task](ctx, c, patch, under(memory.PathTasks, id), of(scope), to, o...)
}

// Checkpoints lists the earlier states of a task.
func (c *Client) Checkpoints(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Page[memory.Checkpoint], error) {
	return ask[memory.Page[memory.Checkpoint]](ctx, c, get, under(memory.PathTasks, id, "checkpoints"), of(scope), nil)
}

// NewArtifact describes content that is about to be stored.
type NewArtifact struct {
	Scope                                      memory.Scope
	Type, MediaType, Name, Sensitivity, SHA256 string
}

// Upload stores the content of an artifact.
func (c *Client) Upload(ctx context.Context, n NewArtifact, content io.Reader) (memory.Artifact, error) {
	q := of(n.Scope)
	for name, value := range map[string]string{"artifact_type": n.Type, "name": n.Name, "sensitivity": n.Sensitivity, "sha256": n.SHA256} {
		if value != "" {
			q.Set(name, value)
		}
	}
	media := n.MediaType
	if media == "" {
		media = "application/octet-stream"
	}
	var out memory.Artifact
	answer, err := c.Stream(ctx, post, memory.PathArtifacts, q, content, Header("Content-Type", media))
	if err != nil {
		return out, err
	}
	defer answer.Body.Close()
	if err := decode(answer.Body, &out); err != nil {
		return out, &UnreachableError{c.where, err}
	}
	return out, nil
}

// Artifacts lists the artifacts of a scope.
func (c *Client) Artifacts(ctx context.Context, l List) (memory.Page[memory.Artifact], error) {
	return ask[memory.Page[memory.Artifact]](ctx, c, get, memory.PathArtifacts, l.query(), nil)
}

// Artifact gives what is known of one.
func (c *Client) Artifact(ctx context.Context, scope memory.Scope, id uuid.UUID) (memory.Artifact, error) {
	return ask[memory.Artifact](ctx, c, get, under(memory.PathArtifacts, id), of(scope), nil)
}

// Content gives what is in one. It has to be closed.
func (c *Client) Content(ctx context.Context, scope memory.Scope, id uuid.UUID) (io.ReadCloser, error) {
	answer, err := c.Stream(ctx, get, under(memory.PathArtifacts, id, "content"), of(scope), nil)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Export writes a scope as JSON lines. The body has to be closed.
func (c *Client) Export(ctx context.Context, scope memory.Scope) (io.ReadCloser, error) {
	answer, err := c.Stream(ctx, get, memory.PathExport, of(scope), nil)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Import reads what Export wrote.
func (c *Client) Import(ctx context.Context, lines io.Reader) (memory.Imported, error) {
	var out memory.Imported
	answer, err := c.Stream(ctx, post, memory.PathImport, nil, lines, Header("Content-Type", "application/x-ndjson"))
	if err != nil {
		return out, err
	}
	defer answer.Body.Close()
	if err := decode(answer.Body, &out); err != nil {
		return out, &UnreachableError{c.where, err}
	}
	return out, nil
}

// Queue says how the embedding work stands.
func (c *Client) Queue(ctx context.Context) (memory.Queue, error) {
	return ask[memory.Queue](ctx, c, get, memory.PathQueue, nil, nil)
}

// Dead lists what could not be embedded.
func (c *Client) Dead(ctx context.Context, l List) (memory.Page[memory.DeadLetter], error) {
	return ask[memory.Page[memory.DeadLetter]](ctx, c, get, memory.PathQueue+"/dead", l.query(), nil)
}

// Retry tries dead letters again; none named is all.
func (c *Client) Retry(ctx context.Context, ids ...uuid.UUID) (memory.Retried, error) {
	return ask[memory.Retried](ctx, c, post, memory.PathQueue+"/retry", nil, memory.Retry{MemoryIDs: ids})
}

// Models lists the embedding models.
func (c *Client) Models(ctx context.Context) (memory.Page[memory.Model], error) {
	return ask[memory.Page[memory.Model]](ctx, c, get, memory.PathModels, nil, nil)
}

// NewModel begins to build a model's vectors beside the active one's.
func (c *Client) NewModel(ctx context.Context, n memory.NewModel) (memory.Model, error) {
	return ask[memory.Model](ctx, c, post, memory.PathModels, nil, n)
}

// ActivateModel makes it the one that retrieval uses; early, although some
// memories have no vector of it yet.
func (c *Client) ActivateModel(ctx context.Context, name string, early bool) (memory.Model, error) {
	q := url.Values{}
	if early {
		q.Set("early", "true")
	}
	return ask[memory.Model](ctx, c, post, memory.PathModels+"/"+url.PathEscape(name)+"/activate", q, nil)
}
