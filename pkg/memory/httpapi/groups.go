package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/ryjen/dubnium/pkg/memory"
)

// grouping registers what memories belong to: sessions, tasks, lineage.
func (a *API) grouping() {
	a.sessions()
	a.tasks()
	s := a.service
	handle(a, route{method: post, path: memory.PathProvenance, id: "new-provenance", summary: "Record lineage of one subject", status: http.StatusCreated},
		func(ctx context.Context, _ *request, n memory.NewProvenance) (memory.Provenance, error) {
			return s.NewProvenance(ctx, n)
		})
	handle(a, route{
		method: get, path: memory.PathProvenance, id: "list-provenance", summary: "List the lineage of one subject",
		params: []param{
			pScope, pLimit,
			{name: "memory_id", kind: identifier, doc: "The memory that it is about."},
			{name: "artifact_id", kind: identifier, doc: "The artifact that it is about."},
			{name: "retrieval_event_id", kind: identifier, doc: "The retrieval event that it is about."},
		},
	}, func(ctx context.Context, q *request, _ none) (memory.Page[memory.Provenance], error) {
		of := memory.Subject{MemoryID: q.uuidOf("memory_id"), ArtifactID: q.uuidOf("artifact_id"), RetrievalEventID: q.uuidOf("retrieval_event_id")}
		rows, err := s.ListProvenance(ctx, q.Scope, of, q.Limit)
		return memory.Page[memory.Provenance]{Items: rows}, err
	})
}

func (a *API) sessions() {
	s := a.service
	const one = memory.PathSessions + "/{id}"
	handle(a, route{method: post, path: memory.PathSessions, id: "new-session", summary: "Begin a session", status: http.StatusCreated},
		func(ctx context.Context, _ *request, n memory.NewSession) (memory.Session, error) {
			return s.NewSession(ctx, n)
		})
	handle(a, route{method: get, path: memory.PathSessions, id: "list-sessions", summary: "List the sessions of a scope, oldest first", params: []param{pScope, pLimit, pCursor}},
		func(ctx context.Context, q *request, _ none) (memory.Page[memory.Session], error) {
			size, err := q.pageSize()
			if err != nil {
				return memory.Page[memory.Session]{}, err
			}
			rows, err := s.ListSessions(ctx, memory.ScopeList{Scope: q.Scope, After: q.After, Limit: size})
			return page(q, rows, func(s memory.Session) memory.Position { return memory.Position{At: s.CreatedAt, ID: s.ID} }), err
		})
	handle(a, route{method: get, path: one, id: "get-session", summary: "Get a session", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.Session, error) {
			return s.Session(ctx, q.Scope, q.ID)
		})
	handle(a, route{
		method: get, path: one + "/window", id: "window", summary: "The last turns of a session, and summaries of the earlier ones",
		params: []param{pID, pScope, {name: "turns", kind: number, doc: "How many turns, 1 to 200; 20 without it."}, {name: "allowed_sensitivity", doc: "The labels that may be returned, with commas between them; internal without it."}},
	}, func(ctx context.Context, q *request, _ none) (memory.Window, error) {
		turns := q.int("turns")
		if _, given := q.Text["turns"]; given && turns == 0 {
			turns = -1
		}
		var allowed []string
		if labels := q.Text["allowed_sensitivity"]; labels != "" {
			allowed = strings.Split(labels, ",")
		}
		return s.Window(ctx, q.Scope, q.ID, turns, allowed)
	})
	handle(a, route{method: post, path: one + "/end", id: "end-session", summary: "End a session", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.Session, error) {
			return s.EndSession(ctx, q.Scope, q.ID)
		})
}

func (a *API) tasks() {
	s := a.service
	const one = memory.PathTasks + "/{id}"
	handle(a, route{method: post, path: memory.PathTasks, id: "new-task", summary: "Record a task", status: http.StatusCreated},
		func(ctx context.Context, _ *request, n memory.NewTask) (memory.Task, error) { return s.NewTask(ctx, n) })
	handle(a, route{
		method: get, path: memory.PathTasks, id: "list-tasks", summary: "List the tasks of a scope, oldest first",
		params: []param{
			pScope, pLimit, pCursor, {name: "status", words: words(memory.TaskStatuses), doc: "Only of this status."},
		},
	}, func(ctx context.Context, q *request, _ none) (memory.Page[memory.Task], error) {
		size, err := q.pageSize()
		if err != nil {
			return memory.Page[memory.Task]{}, err
		}
		rows, err := s.ListTasks(ctx, memory.ScopeList{Scope: q.Scope, Status: memory.TaskStatus(q.Text["status"]), After: q.After, Limit: size})
		return page(q, rows, func(t memory.Task) memory.Position { return memory.Position{At: t.CreatedAt, ID: t.ID} }), err
	})
	handle(a, route{method: get, path: one, id: "get-task", summary: "Get a task", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.Task, error) { return s.Task(ctx, q.Scope, q.ID) })
	handle(a, route{method: patch, path: one, id: "change-task", summary: "Change a task; what it was becomes a checkpoint", params: []param{pID, pScope}, condition: mustMatch},
		func(ctx context.Context, q *request, c memory.ChangeTask) (memory.Task, error) {
			return held(q, func(version int) (memory.Task, error) { return s.ChangeTask(ctx, q.Scope, q.ID, version, c) })
		})
	handle(a, route{method: get, path: one + "/checkpoints", id: "list-checkpoints", summary: "The earlier states of a task, oldest first", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.Page[memory.Checkpoint], error) {
			rows, err := s.Checkpoints(ctx, q.Scope, q.ID)
			if rows == nil {
				rows = []memory.Checkpoint{}
			}
			return memory.Page[memory.Checkpoint]{Items: rows}, err
		})
}
