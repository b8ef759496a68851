// Package memoryfaults kills what embeds memories: the process that stores
// them, the workers, Redis and Postgres, at each step and at random ones.
package memoryfaults

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/pkg/memory/worker"
)

// roleEnv holds what a process that this test started is to be.
const roleEnv = "DUBNIUM_TEST_MEMORY_ROLE"

// role is what a process of this test's program does instead of testing.
type role struct {
	// Store makes it store memories, one after the other, and print the id of
	// each that was stored; else it is a worker.
	Store bool
	Name  string
	DSN   string
	Redis string // empty is none
	// Provider is the base of an embeddings API.
	Provider string
	// Pause is the step at which the worker stops, once, and says so.
	Pause string
	// Wait makes it wait for a line on stdin before it starts.
	Wait    bool
	Options worker.Options
}

const (
	model      = "stand-in"
	dimensions = 8
	scope      = memory.Scope("project:faults")
)

func TestMain(m *testing.M) {
	if text := os.Getenv(roleEnv); text != "" {
		if err := play(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func play(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	// The process ends when asked to, and when the test is gone.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	lines := make(chan string)
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
		stop()
	}()
	if r.Wait {
		select {
		case <-lines:
		case <-ctx.Done():
			return nil
		}
	}
	// The database may be away just now, as it may be for a service that systemd
	// would start again.
	db, err := store.Open(ctx, store.Options{DSN: r.DSN})
	for ; err != nil; db, err = store.Open(ctx, store.Options{DSN: r.DSN}) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	defer db.Close()
	if r.Store {
		return keepStoring(ctx, db, r.Name)
	}
	provider, err := embed.NewOpenAI(embed.OpenAIConfig{
		URL: r.Provider, Model: model, Preset: embed.Preset{Dimensions: dimensions}, Timeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	var stream *worker.Stream
	if r.Redis != "" {
		if stream, err = worker.NewStream(r.Redis, "faults"); err != nil {
			return err
		}
		defer stream.Close()
	}
	r.Options.Name = r.Name
	r.Options.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	steps := &steps{at: r.Pause, lines: lines, ctx: ctx}
	w, err := worker.New(stepStore{db, steps}, []embed.Embedder{stepEmbedder{provider, steps}}, stream, r.Options)
	if err != nil {
		return err
	}
	fmt.Println("running")
	return w.Run(ctx)
}

// keepStoring stores memories until it is ended.
func keepStoring(ctx context.Context, db *store.Store, name string) error {
	for i := 0; ctx.Err() == nil; i++ {
		stored, err := db.Add(ctx, scope, entries(name, 5*i, 5*i+5), nil)
		if err != nil {
			continue // the database is away, or we are to end: nothing was promised
		}
		for _, s := range stored {
			fmt.Println(s.ID)
		}
	}
	return nil
}

// entries are memories with numbers from first to last, less one.
func entries(name string, first, last int) []store.Entry {
	var all []store.Entry
	for i := first; i < last; i++ {
		all = append(all, store.Entry{Draft: memory.Draft{
			MemoryType: memory.Episodic, Scope: scope, Source: "test",
			Summary: fmt.Sprintf("%s %d %s %s %s %s", name, i, rand.Text()[:8], rand.Text()[:8], rand.Text()[:8], rand.Text()[:8]),
		}})
	}
	return all
}

// steps stops at one step, the first time that it is reached, until a line
// comes in.
type steps struct {
	at    string
	lines <-chan string
	ctx   context.Context
	once  sync.Once
}

func (s *steps) reach(step string) {
	if step != s.at {
		return
	}
	s.once.Do(func() {
		fmt.Println("at " + step)
		select {
		case <-s.lines:
		case <-s.ctx.Done():
		}
	})
}

// around is a step with its two ends.
func around[T any](s *steps, name string, f func() (T, error)) (T, error) {
	s.reach(name + ".before")
	value, err := f()
	if err == nil {
		s.reach(name + ".after")
	}
	return value, err
}

// stepStore is the database, with steps.
type stepStore struct {
	worker.Store
	steps *steps
}

func (s stepStore) Hand(ctx context.Context, model int32, limit int, again time.Duration) ([]outbox.Handed, error) {
	handed, err := s.Store.Hand(ctx, model, limit, again)
	if len(handed) > 0 {
		s.steps.reach("hand.after")
	}
	return handed, err
}

func (s stepStore) Claim(ctx context.Context, ids []int64, name string, lease time.Duration) (outbox.Claims, error) {
	return around(s.steps, "claim", func() (outbox.Claims, error) { return s.Store.Claim(ctx, ids, name, lease) })
}

func (s stepStore) ClaimDue(ctx context.Context, model int32, limit int, name string, lease time.Duration) ([]outbox.Job, error) {
	jobs, err := s.Store.ClaimDue(ctx, model, limit, name, lease)
	if len(jobs) > 0 {
		s.steps.reach("claim.after")
	}
	return jobs, err
}

func (s stepStore) Complete(ctx context.Context, name string, results []outbox.Result) (outbox.Completed, error) {
	return around(s.steps, "complete", func() (outbox.Completed, error) { return s.Store.Complete(ctx, name, results) })
}

// stepEmbedder is the provider, with steps.
type stepEmbedder struct {
	embed.Embedder
	steps *steps
}

func (e stepEmbedder) Embed(ctx context.Context, texts []string, kind embed.Kind) ([][]float32, error) {
	return around(e.steps, "embed", func() ([][]float32, error) { return e.Embedder.Embed(ctx, texts, kind) })
}

// process is a running role.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
	ended chan struct{}
}

// start runs this test's program in a role. Change may alter the command.
func start(t testing.TB, r role, change func(*exec.Cmd)) *process {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), roleEnv+"="+string(text))
	p := &process{t: t, cmd: cmd, lines: make(chan string, 1<<16), ended: make(chan struct{})}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	cmd.Stderr = log
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			p.lines <- in.Text()
		}
		close(p.lines)
		_ = cmd.Wait() // most are killed
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
		if t.Failed() {
			t.Logf("%s said:\n%s", r.Name, log)
		}
	})
	return p
}

func (p *process) signal(sig syscall.Signal) {
	select {
	case <-p.ended:
	default:
		_ = p.cmd.Process.Signal(sig) // it may end meanwhile
	}
}

// kill ends it at once.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// expect waits for a line.
func (p *process) expect(want string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the process ended before it said %q", want)
			}
			if line == want {
				return
			}
		case <-deadline:
			p.t.Fatalf("the process did not say %q within %v", want, patience)
		}
	}
}

// proceed lets it go on.
func (p *process) proceed() {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, "go\n"); err != nil {
		p.t.Fatal(err)
	}
}

// stop ends it as systemd does, and holds that it ends well and in time.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		state := p.cmd.ProcessState
		// One that was started a moment ago may not have taken the signal over yet.
		status, ok := state.Sys().(syscall.WaitStatus)
		unready := ok && status.Signaled() && status.Signal() == syscall.SIGTERM
		if state.ExitCode() != 0 && !unready {
			t.Errorf("asked to stop, it ends with %s", state)
		}
	case <-time.After(patience):
		t.Errorf("asked to stop, it still runs after %v", patience)
	}
}
