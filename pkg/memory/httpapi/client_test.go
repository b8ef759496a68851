package httpapi_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/client"
)

// TestClient makes every call of package client once: the two agree on paths,
// parameters, types and errors.
func TestClient(t *testing.T) {
	s := newSite(t)
	c, err := client.URL(s.url)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	const scope = memory.Scope("project:dubnium")
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	d := memory.Draft{MemoryType: memory.Working, Summary: "The disk is full.", Scope: scope, Source: "note", Provenance: memory.Object{"origin": "operator"}, Confidence: 1}
	_, err = c.Health(ctx)
	must("health", err)
	_, err = c.Ready(ctx)
	must("ready", err)
	m, err := c.Store(ctx, d, client.Idempotent("k"))
	must("store", err)
	d.Summary = "The disk is large."
	batch, err := c.StoreBatch(ctx, []memory.Draft{d})
	if err != nil || len(batch.Results) != 1 {
		t.Fatalf("batch: %+v, %v", batch, err)
	}
	got, err := c.Retrieve(ctx, memory.Retrieve{Query: "disk", Scope: scope})
	if err != nil || len(got.Memories) != 2 {
		t.Errorf("retrieve: %+v, %v", got, err)
	}
	_, err = c.Audit(ctx, memory.Retrieve{Query: "disk", Scope: scope})
	must("audit", err)
	_, err = c.Events(ctx, client.List{Limit: 1})
	must("events", err)
	_, err = c.Event(ctx, scope, got.Event.ID)
	must("event", err)
	_, err = c.Replay(ctx, scope, got.Event.ID)
	must("replay", err)
	page, err := c.Memories(ctx, client.List{Scope: scope, Limit: 1})
	if err != nil || page.Next == "" {
		t.Errorf("memories: %+v, %v", page, err)
	}
	_, err = c.Memories(ctx, client.List{Scope: scope, Limit: 1, Cursor: page.Next})
	must("next memories", err)
	_, err = c.Promote(ctx, scope, m.ID, memory.Episodic, client.IfMatch(1))
	must("promote", err)
	if _, err = c.Verify(ctx, scope, m.ID, client.IfMatch(1)); !errors.Is(err, memory.ErrVersion) {
		t.Errorf("verify an older version: %v", err)
	}
	_, err = c.Verify(ctx, scope, m.ID)
	must("verify", err)
	_, err = c.Memory(ctx, scope, m.ID)
	must("memory", err)
	d.Summary = "The disk is empty."
	next, err := c.Supersede(ctx, scope, m.ID, d)
	must("supersede", err)
	_, err = c.Reject(ctx, scope, next.Stored.ID, memory.Reject{Reason: memory.StaleFact})
	must("reject", err)
	must("delete", c.Delete(ctx, scope, next.Stored.ID, client.IfMatch(2)))
	if _, err = c.Memory(ctx, scope, next.Stored.ID); !errors.Is(err, memory.ErrNotFound) {
		t.Errorf("after it was deleted: %v", err)
	}
	var invalid memory.Invalid
	if _, err = c.Store(ctx, memory.Draft{}); !errors.As(err, &invalid) {
		t.Errorf("an empty draft: %v", err)
	}
	_, err = c.Expire(ctx, memory.Expire{})
	must("expire", err)
	session, err := c.NewSession(ctx, memory.NewSession{Scope: scope, Title: "x"})
	must("new session", err)
	_, err = c.Sessions(ctx, client.List{Scope: scope})
	must("sessions", err)
	_, err = c.Session(ctx, scope, session.ID)
	must("session", err)
	_, err = c.Window(ctx, scope, session.ID, 5)
	must("window", err)
	_, err = c.EndSession(ctx, scope, session.ID)
	must("end session", err)
	task, err := c.NewTask(ctx, memory.NewTask{Scope: scope, Title: "x"})
	must("new task", err)
	_, err = c.ChangeTask(ctx, scope, task.ID, memory.ChangeTask{Status: memory.TaskDone}, client.IfMatch(task.Version))
	must("change task", err)
	_, err = c.Tasks(ctx, client.List{Scope: scope})
	must("tasks", err)
	_, err = c.Task(ctx, scope, task.ID)
	must("task", err)
	if points, err := c.Checkpoints(ctx, scope, task.ID); err != nil || len(points.Items) != 1 {
		t.Errorf("checkpoints: %+v, %v", points, err)
	}
	a, err := c.Upload(ctx, client.NewArtifact{Scope: scope, Type: "log", MediaType: "text/plain", Name: "a.log"}, strings.NewReader("content"))
	must("upload", err)
	_, err = c.Artifacts(ctx, client.List{Scope: scope})
	must("artifacts", err)
	_, err = c.Artifact(ctx, scope, a.ID)
	must("artifact", err)
	body, err := c.Content(ctx, scope, a.ID)
	must("content", err)
	if text, err := io.ReadAll(body); err != nil || string(text) != "content" {
		t.Errorf("content: %q, %v", text, err)
	}
	must("close", body.Close())
	out, err := c.Export(ctx, scope)
	must("export", err)
	done, err := c.Import(ctx, out)
	if err != nil || done.Existing == 0 {
		t.Errorf("import: %+v, %v", done, err)
	}
	must("close", out.Close())
	_, err = c.Queue(ctx)
	must("queue", err)
	_, err = c.Dead(ctx, client.List{})
	must("dead", err)
	_, err = c.Retry(ctx)
	must("retry", err)
	_, err = c.Retry(ctx, uuid.New())
	must("retry one", err)
	model, err := c.NewModel(ctx, memory.NewModel{Name: "hashed/8", Provider: "builtin", Dimensions: 8})
	must("new model", err)
	if model.State != memory.ModelBuilding && model.State != memory.ModelActive {
		t.Errorf("the new model is %s", model.State)
	}
	if _, err := c.ActivateModel(ctx, model.Name, false); !errors.Is(err, memory.ErrIncomplete) || err.Error() != memory.ErrIncomplete.Error() {
		t.Errorf("activate it too early: %v", err)
	}
	if active, err := c.ActivateModel(ctx, model.Name, true); err != nil || active.State != memory.ModelActive {
		t.Errorf("activate: %+v, %v", active, err)
	}
	if models, err := c.Models(ctx); err != nil || len(models.Items) != 1 || time.Since(models.Items[0].CreatedAt) > time.Hour {
		t.Errorf("models: %+v, %v", models, err)
	}
}
