package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/ryjen/dubnium/pkg/memory"
)

const (
	get    = http.MethodGet
	post   = http.MethodPost
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// health answers GET /healthz: that the program runs.
type health struct {
	Status string `json:"status"`
}

// routes registers all operations.
func (a *API) routes() {
	a.mux.HandleFunc("GET /openapi.json", a.openapi)
	a.mux.HandleFunc("GET /metrics", a.metrics)
	handle(a, route{method: get, path: memory.PathHealth, id: "health", summary: "Whether the service runs"},
		func(context.Context, *request, none) (health, error) { return health{"ok"}, nil })
	a.ready()
	a.storing()
	a.retrieving()
	a.living()
	a.grouping()
	a.queueing()
	a.transfers()
}

// ready answers GET /readyz: 200 when requests can be carried out, else 503.
func (a *API) ready() {
	r := route{method: get, path: memory.PathReady, id: "ready", summary: "Whether requests can be carried out, and what is missing"}
	handle(a, r, func(ctx context.Context, _ *request, _ none) (memory.Readiness, error) {
		return a.service.Ready(ctx), nil
	})
}

func (a *API) storing() {
	s := a.service
	handle(a, route{method: post, path: memory.PathStore, id: "store", summary: "Store a memory", keyed: true},
		func(ctx context.Context, q *request, d memory.Draft) (memory.Stored, error) {
			out, err := s.Store(ctx, d, q.Key)
			if err == nil {
				a.meters.stored(out)
			}
			return out, err
		})
	handle(a, route{method: post, path: memory.PathStoreBatch, id: "store-batch", summary: "Store many memories, all or none", keyed: true, limit: maxBatchBody},
		func(ctx context.Context, q *request, b memory.StoreBatch) (memory.StoredBatch, error) {
			out, err := s.StoreBatch(ctx, b, q.Key)
			for _, one := range out.Results {
				a.meters.stored(one)
			}
			return out, err
		})
}

func (a *API) retrieving() {
	s := a.service
	handle(a, route{method: post, path: memory.PathRetrieve, id: "retrieve", summary: "Retrieve candidates for a query", check: checkLimit},
		func(ctx context.Context, _ *request, r memory.Retrieve) (memory.Retrieved, error) {
			return s.Retrieve(ctx, r)
		})
	handle(a, route{method: post, path: memory.PathAudit, id: "audit", summary: "Retrieve rejected memories, which must not be used in a prompt", check: checkLimit},
		func(ctx context.Context, _ *request, r memory.Retrieve) (memory.Retrieved, error) {
			return s.Audit(ctx, r)
		})
	handle(a, route{
		method: get, path: memory.PathEvents, id: "list-events", summary: "List retrieval events, newest first",
		params: []param{
			pAnyScope, pLimit, pCursor,
		},
	}, func(ctx context.Context, q *request, _ none) (memory.Page[memory.RetrievalEvent], error) {
		size, err := q.pageSize()
		if err != nil {
			return memory.Page[memory.RetrievalEvent]{}, err
		}
		rows, err := s.ListEvents(ctx, q.Scope, q.After, size)
		return page(q, rows, func(e memory.RetrievalEvent) memory.Position { return memory.Position{At: e.CreatedAt, ID: e.ID} }), err
	})
	handle(a, route{method: get, path: memory.PathEvents + "/{id}", id: "get-event", summary: "Get a retrieval event with what it returned", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.EventHits, error) {
			return s.Event(ctx, q.Scope, q.ID)
		})
	handle(a, route{method: post, path: memory.PathEvents + "/{id}/replay", id: "replay", summary: "Retrieve again as then, and say what comes out otherwise", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.Replay, error) {
			return s.Replay(ctx, q.Scope, q.ID)
		})
}

// checkLimit refuses the limit 0, which reads like none.
func checkLimit(body []byte) error {
	var asked struct {
		Limit *int `json:"limit"`
	}
	if err := json.Unmarshal(body, &asked); err == nil && asked.Limit != nil && *asked.Limit == 0 {
		return memory.FieldErrorf("limit", "out-of-range", "is not between 1 and %d", memory.MaxLimit)
	}
	return nil
}

func (a *API) living() {
	s := a.service
	const one = memory.PathMemories + "/{id}"
	handle(a, route{
		method: get, path: memory.PathMemories, id: "list-memories", summary: "List the memories of a scope, oldest first",
		params: []param{
			pScope, pLimit, pCursor,
			{name: "memory_type", words: words(memory.Types), doc: "Only of this class."},
			{name: "validation_status", words: words(memory.Validations), doc: "Only of this status of review."},
			{name: "status", words: words(memory.Statuses), doc: "Only of this status."},
			{name: "sensitivity", doc: "Only with this label."},
			{name: "session_id", kind: identifier, doc: "Only of this session."},
			{name: "task_id", kind: identifier, doc: "Only of this task."},
		},
	}, func(ctx context.Context, q *request, _ none) (memory.Page[memory.Memory], error) {
		size, err := q.pageSize()
		if err != nil {
			return memory.Page[memory.Memory]{}, err
		}
		rows, err := s.ListMemories(ctx, memory.MemoryList{
			Scope: q.Scope, MemoryType: memory.Type(q.Text["memory_type"]), ValidationStatus: memory.Validation(q.Text["validation_status"]),
			Status: memory.Status(q.Text["status"]), Sensitivity: q.Text["sensitivity"],
			SessionID: q.uuidOf("session_id"), TaskID: q.uuidOf("task_id"), After: q.After, Limit: size,
		})
		return page(q, rows, func(m memory.Memory) memory.Position { return memory.Position{At: m.CreatedAt, ID: m.ID} }), err
	})
	handle(a, route{method: get, path: one, id: "get-memory", summary: "Get a memory", params: []param{pID, pScope}},
		func(ctx context.Context, q *request, _ none) (memory.Memory, error) {
			return s.Memory(ctx, q.Scope, q.ID)
		})
	handle(a, route{method: remove, path: one, id: "delete-memory", summary: "Delete a memory with its vectors and index entries", params: []param{pID, pScope}, condition: mustMatch},
		func(ctx context.Context, q *request, _ none) (none, error) {
			return held(q, func(version int) (none, error) { return none{}, s.Delete(ctx, q.Scope, q.ID, version) })
		})
	handle(a, route{method: post, path: one + "/verify", id: "verify", summary: "Record that a reviewer found a memory true", params: []param{pID, pScope}, condition: mayMatch},
		func(ctx context.Context, q *request, _ none) (memory.Memory, error) {
			return held(q, func(version int) (memory.Memory, error) { return s.Verify(ctx, q.Scope, q.ID, version) })
		})
	handle(a, route{method: post, path: one + "/reject", id: "reject", summary: "Take a memory out of all normal retrievals", params: []param{pID, pScope}, condition: mayMatch},
		func(ctx context.Context, q *request, r memory.Reject) (memory.Memory, error) {
			return held(q, func(version int) (memory.Memory, error) { return s.Reject(ctx, q.Scope, q.ID, version, r) })
		})
	handle(a, route{method: post, path: one + "/promote", id: "promote", summary: "Make a memory one of the next class", params: []param{pID, pScope}, condition: mayMatch},
		func(ctx context.Context, q *request, p memory.Promote) (memory.Memory, error) {
			return held(q, func(version int) (memory.Memory, error) { return s.Promote(ctx, q.Scope, q.ID, version, p.MemoryType) })
		})
	handle(a, route{method: post, path: one + "/supersede", id: "supersede", summary: "Store a memory in the place of another", params: []param{pID, pScope}, condition: mayMatch},
		func(ctx context.Context, q *request, d memory.Draft) (memory.Superseding, error) {
			return held(q, func(version int) (memory.Superseding, error) { return s.Supersede(ctx, q.Scope, q.ID, version, d) })
		})
	handle(a, route{method: post, path: memory.PathExpire, id: "expire", summary: "Expire what has outlived its TTL"},
		func(ctx context.Context, _ *request, e memory.Expire) (memory.Expiry, error) { return s.Expire(ctx, e) })
}

func (a *API) queueing() {
	s := a.service
	handle(a, route{method: get, path: memory.PathQueue, id: "queue", summary: "How the embedding work stands"},
		func(ctx context.Context, _ *request, _ none) (memory.Queue, error) { return s.Queue(ctx) })
	handle(a, route{
		method: get, path: memory.PathQueue + "/dead", id: "list-dead", summary: "List what could not be embedded",
		params: []param{pLimit, {name: "cursor", kind: number, doc: "next_cursor of the page before."}},
	}, func(ctx context.Context, q *request, _ none) (memory.Page[memory.DeadLetter], error) {
		rows, last, err := s.DeadLetters(ctx, int64(q.int("cursor")), q.Limit)
		p := memory.Page[memory.DeadLetter]{Items: rows}
		if last != 0 {
			p.Next = strconv.FormatInt(last, 10)
		}
		return p, err
	})
	handle(a, route{method: post, path: memory.PathQueue + "/retry", id: "retry-dead", summary: "Try dead letters again"},
		func(ctx context.Context, _ *request, r memory.Retry) (memory.Retried, error) {
			return s.RetryDead(ctx, r)
		})
	handle(a, route{method: get, path: memory.PathModels, id: "list-models", summary: "List the embedding models"},
		func(ctx context.Context, q *request, _ none) (memory.Page[memory.Model], error) {
			rows, err := s.Models(ctx)
			if rows == nil {
				rows = []memory.Model{}
			}
			return memory.Page[memory.Model]{Items: rows}, err
		})
	handle(a, route{method: post, path: memory.PathModels, id: "new-model", summary: "Begin to build a model's vectors", status: http.StatusCreated},
		func(ctx context.Context, _ *request, n memory.NewModel) (memory.Model, error) {
			return s.NewModel(ctx, n)
		})
	handle(a, route{
		method: post, path: memory.PathModels + "/{name}/activate", id: "activate-model", summary: "Make it the model that retrieval uses",
		params: []param{
			{name: "name", inPath: true, required: true, doc: "The model's name."},
			{name: "early", words: []string{"true", "false"}, doc: "true switches although some memories have no vector of it yet."},
		},
	}, func(ctx context.Context, q *request, _ none) (memory.Model, error) {
		return s.ActivateModel(ctx, q.Text["name"], q.Text["early"] == "true")
	})
}
