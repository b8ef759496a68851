package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// TestRefusedBeforeTheDatabaseWould holds that what contradicts the scope is
// refused by us: an error of the database's own would stand in its log, where
// an operator looks for what is wrong.
func TestRefusedBeforeTheDatabaseWould(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	nothing := uuid.New()
	first := add(t, s, entry("the disk is full"))[0]
	session, err := s.AddSession(ctx, scope, uuid.New(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	task, err := s.AddTask(ctx, scope, memory.Task{ID: uuid.New(), Status: memory.TaskQueued})
	if err != nil {
		t.Fatal(err)
	}
	m := get(t, s, first.ID)
	archived := func(edit func(*memory.Memory)) store.Archive {
		m := m
		m.ID, m.Summary = uuid.New(), "the disk is empty"
		edit(&m)
		return store.Archive{Memories: []memory.Memory{m}}
	}
	restore := func(a store.Archive) error { _, err := s.Restore(ctx, scope, a); return err }
	stored := func(e store.Entry) error { _, err := s.Add(ctx, scope, []store.Entry{e}, nil); return err }
	for name, tc := range map[string]struct {
		err  error
		is   error
		want string
	}{
		"a task":             {stored(entry("x", func(e *store.Entry) { e.TaskID = &nothing })), memory.ErrNotFound, "task_id not-found"},
		"an artifact":        {stored(entry("x", func(e *store.Entry) { e.ArtifactRefs = []uuid.UUID{nothing} })), memory.ErrNotFound, "artifact_refs[0] not-found"},
		"a memory's id":      {stored(entry("x", func(e *store.Entry) { e.ID = &first.ID })), memory.ErrConflict, "id taken"},
		"a session's id":     {second(s.AddSession(ctx, scope, session.ID, "", nil)), memory.ErrConflict, "id taken"},
		"a task's id":        {second(s.AddTask(ctx, scope, memory.Task{ID: task.ID, Status: memory.TaskQueued})), memory.ErrConflict, "id taken"},
		"a task's session":   {second(s.AddTask(ctx, scope, memory.Task{ID: uuid.New(), Status: memory.TaskQueued, SessionID: &nothing})), memory.ErrNotFound, "session_id not-found"},
		"lineage":            {second(s.AddProvenance(ctx, scope, memory.Provenance{ID: uuid.New(), MemoryID: &nothing, SourceIdentity: "ci"})), memory.ErrNotFound, "memory_id not-found"},
		"restored, no task":  {restore(archived(func(m *memory.Memory) { m.TaskID, m.Ordinal = &nothing, 1 })), memory.ErrNotFound, "memory.task_id not-found"},
		"restored, session":  {restore(archived(func(m *memory.Memory) { m.SessionID, m.Ordinal = &nothing, 1 })), memory.ErrNotFound, "memory.session_id not-found"},
		"restored, artifact": {restore(archived(func(m *memory.Memory) { m.Artifacts = []memory.Artifact{{ID: nothing}} })), memory.ErrNotFound, "memory.artifact_refs not-found"},
		"restored, its id":   {restore(archived(func(m *memory.Memory) { m.ID = first.ID })), memory.ErrConflict, "memory.id taken"},
		"restored, its text": {restore(archived(func(m *memory.Memory) { m.Summary = "the disk is full" })), memory.ErrConflict, "memory.id taken"},
		"restored twice": {restore(store.Archive{Sessions: []memory.Session{
			{ID: nothing, Scope: scope, Metadata: memory.Object{}}, {ID: nothing, Scope: scope, Title: "x", Metadata: memory.Object{}},
		}}), memory.ErrConflict, "session.id taken"},
		"restored task":      {restore(store.Archive{Tasks: []store.ArchivedTask{{Task: memory.Task{ID: uuid.New(), Version: 1, Status: memory.TaskDone, State: memory.Object{}, SessionID: &nothing}}}}), memory.ErrNotFound, "task.session_id not-found"},
		"restored lineage":   {restore(store.Archive{Provenance: []memory.Provenance{{ID: uuid.New(), ArtifactID: &nothing, SourceIdentity: "ci", SourceEvent: memory.Object{}}}}), memory.ErrNotFound, "provenance.artifact_id not-found"},
		"superseded":         {restore(store.Archive{Superseded: map[uuid.UUID]uuid.UUID{first.ID: nothing}}), memory.ErrNotFound, "memory.superseded_by not-found"},
		"an unknown scope's": {second(s.EndSession(ctx, "project:new", nothing)), memory.ErrNotFound, ""},
	} {
		var refused *memory.ReferenceError
		var database *pgconn.PgError
		got := ""
		if errors.As(tc.err, &refused) && len(refused.Fields) == 1 {
			got = refused.Fields[0].Field + " " + refused.Fields[0].Reason
		}
		if !errors.Is(tc.err, tc.is) || got != tc.want || errors.As(tc.err, &database) {
			t.Errorf("%s: %v, of which %q is said; want %q", name, tc.err, got, tc.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestDuplicatesNameWhatTheyDoNotLink holds that a memory that is there stays
// as it is, and that an artifact which the second writer named is not passed
// over in silence.
func TestDuplicatesNameWhatTheyDoNotLink(t *testing.T) {
	s := open(t)
	artifact := func(digest byte) uuid.UUID {
		a, _, err := s.AddArtifact(t.Context(), scope, memory.Artifact{
			ID: uuid.New(), SHA256: strings.Repeat(fmt.Sprintf("%02x", digest), 32), StorageURI: "sha256:x", ArtifactType: "log", SizeBytes: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	one, two, three := artifact(1), artifact(2), artifact(3)
	on := func(ids ...uuid.UUID) func(*store.Entry) {
		return func(e *store.Entry) { e.ArtifactRefs = ids }
	}
	first := add(t, s, entry("the disk is full", on(one)))[0]
	again := add(t, s, entry("the disk is full", on(two, one, three)), entry("the disk is full"), entry("the disk is full", on(one)), entry("it is empty", on(one)), entry("it is empty", on(one, two)))
	want := [][]uuid.UUID{{two, three}, nil, nil, nil, {two}}
	for i, a := range again {
		if diff := cmp.Diff(want[i], a.UnlinkedArtifacts); diff != "" {
			t.Errorf("%d: (-want +got)\n%s", i, diff)
		}
	}
	if got := get(t, s, first.ID); got.Version != 1 || len(got.Artifacts) != 1 || got.Artifacts[0].ID != one {
		t.Errorf("the memory has changed: %+v", got)
	}
}
