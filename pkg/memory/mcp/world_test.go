package mcp

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/apid"
	"github.com/ryjen/dubnium/pkg/memory/client"
	"github.com/ryjen/dubnium/tests/postgres"
)

// programEnv holds which program a process of this test's binary is.
const programEnv = "DUBNIUM_TEST_PROGRAM"

// patience bounds every wait.
const patience = time.Minute

func TestMain(m *testing.M) {
	switch os.Getenv(programEnv) {
	case "memory-mcp":
		cli.Main(Program())
	case "memory-api":
		cli.Main(apid.Program())
	}
	os.Exit(postgres.Run(m))
}

// program is a command of one of the programs.
func program(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), programEnv+"="+name)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// said collects what a process says on stderr.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// api is a memory-api that runs.
type api struct {
	*client.Client
	url string
	cmd *exec.Cmd
}

// start runs memory-api over a database of its own.
func start(t *testing.T) api {
	t.Helper()
	dir := postgres.Folder(t) // whose path is short enough for a socket
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := postgres.New(t)
	database.OneLogin(t)
	socket := filepath.Join(dir, "api.sock")
	cmd := program(t, "memory-api", "--config", write("memory.toml",
		"[memory.api]\nport = 0\nsocket = "+strconv.Quote(socket)+
			"\n[memory.database]\ndsnFile = "+strconv.Quote(write("dsn", database.OwnerDSN))+
			"\n[memory.artifacts]\ndirectory = "+strconv.Quote(filepath.Join(dir, "artifacts"))+"\n"))
	var log said
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := api{client.Unix(socket), "unix://" + socket, cmd}
	t.Cleanup(func() { a.end(t) })
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if ready, err := a.Ready(t.Context()); err == nil && ready.Ready {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("memory-api is not ready: %s", log.String())
		}
	}
}

// end stops it, and waits until it has ended.
func (a api) end(t *testing.T) {
	t.Helper()
	if a.cmd.ProcessState != nil {
		return
	}
	if err := a.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("memory-api ended with %v", err)
	}
}

// put stores a memory.
func (a api) put(t *testing.T, scope memory.Scope, text string, change ...func(*memory.Draft)) memory.Stored {
	t.Helper()
	d := memory.Draft{MemoryType: memory.Episodic, Summary: text, Scope: scope, Source: "test"}
	for _, c := range change {
		c(&d)
	}
	got, err := a.Store(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// agent is an agent's host: the SDK's client at the program's stdin and stdout.
type agent struct {
	*sdk.ClientSession
	t    *testing.T
	said *said
}

// connect runs memory-mcp and speaks with it.
func connect(t *testing.T, url string, args ...string) agent {
	t.Helper()
	cmd := program(t, "memory-mcp", append([]string{"--url", url, "--config", filepath.Join(t.TempDir(), "none.toml")}, args...)...)
	var log said
	cmd.Stderr = &log
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := sdk.NewClient(&sdk.Implementation{Name: "host of the test", Version: "1"}, nil)
	s, err := c.Connect(ctx, &sdk.CommandTransport{Command: cmd, TerminateDuration: patience}, nil)
	if err != nil {
		t.Fatalf("%v: it says %s", err, log.String())
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("memory-mcp ended with %v: it says %s", err, log.String())
		}
	})
	return agent{s, t, &log}
}

// names are the tools that it offers.
func (a agent) names() (names []string) {
	a.t.Helper()
	for tool, err := range a.Tools(a.t.Context(), nil) {
		if err != nil {
			a.t.Fatal(err)
		}
		names = append(names, tool.Name)
	}
	return names
}

// try calls a tool; refused is what it says when it is an error, of the tool or
// of the protocol.
func (a agent) try(tool string, args map[string]any) (answer *sdk.CallToolResult, refused string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	got, err := a.CallTool(ctx, &sdk.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return nil, err.Error()
	}
	if !got.IsError {
		return got, ""
	}
	for _, c := range got.Content {
		if text, ok := c.(*sdk.TextContent); ok {
			refused += text.Text
		}
	}
	return got, refused
}

// use calls a tool that has to succeed, and gives what it answers.
func use[T any](a agent, tool string, args map[string]any) (out T) {
	a.t.Helper()
	got, refused := a.try(tool, args)
	if refused != "" {
		a.t.Fatalf("%s(%v): %s", tool, args, refused)
	}
	text, err := json.Marshal(got.StructuredContent)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		a.t.Fatalf("%s answers %s: %v", tool, text, err)
	}
	return out
}

// search is the tool memory_search.
func (a agent) search(query string) searchOut {
	a.t.Helper()
	return use[searchOut](a, "memory_search", map[string]any{"query": query})
}

// parsed reads an id.
func parsed(t *testing.T, id string) uuid.UUID {
	t.Helper()
	out, err := uuid.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
