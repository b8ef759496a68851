package aimemory

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory"
)

// terminal is one of 80 columns, and what came to it.
type terminal struct {
	*os.File
	mu   sync.Mutex
	text strings.Builder
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	screen := open("/dev/ptmx")
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{File: open(fmt.Sprintf("/dev/pts/%d", n))}
	if err := unix.IoctlSetWinsize(int(term.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := screen.Read(buf)
			if err != nil {
				return
			}
			term.mu.Lock()
			term.text.Write(buf[:n])
			term.mu.Unlock()
		}
	}()
	return term
}

// shows waits until the terminal has got a text, and gives all that it got.
func (s *terminal) shows(t *testing.T, want string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		got := s.text.String()
		s.mu.Unlock()
		if strings.Contains(got, want) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("the terminal never got %q: %q", want, got)
		}
	}
}

// runAgainst runs ai-memory against a server, and gives what it exits with.
func runAgainst(url string, stdin io.Reader, stdout, stderr io.Writer, args ...string) exitcode.Code {
	args = append(args, "--url", url)
	getenv := func(name string) string { return map[string]string{"TERM": "xterm", "NO_COLOR": "1"}[name] }
	return cli.Execute(Program(), args, stdin, stdout, stderr, getenv)
}

// answers serves a document for every request.
func answers(t *testing.T, doc any) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(doc)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

var (
	someID   = uuid.MustParse("0198c7f0-5d5e-7c0e-8f3a-3d2b8a1e9f10")
	someTime = time.Date(2026, 5, 28, 10, 30, 0, 0, time.UTC)
	text     = strings.TrimSpace(strings.Repeat("A statement that goes on and on. ", 8))
)

// TestScreens holds what a person needs of every list on a terminal of 80
// columns: ids are whole, so that they can be given to the next command,
// nothing is wider than the terminal, and no text is cut.
func TestScreens(t *testing.T) {
	m := memory.Memory{
		ID: someID, CreatedAt: someTime, MemoryType: memory.Episodic, ValidationStatus: memory.Unverified, Status: memory.Superseded,
		Source: "operator", Summary: text, Speaker: "Ann", OccurredAt: &someTime, Flags: []string{"override-phrase", "role-marker"},
	}
	event := memory.RetrievalEvent{
		ID: someID, Type: memory.EventRetrieval, Scope: "project:dubnium", Query: text, CreatedAt: someTime, LatencyMS: 12.5,
		ReturnedMemoryIDs: []uuid.UUID{someID}, Caller: memory.Caller{Known: true, UID: 1000},
		Metadata: memory.Filters{Requester: &memory.Requester{ActorType: "agent", ActorID: "reviewer"}},
	}
	parts := map[string]float64{"lexical": 1, "vector": 0.5, "feedback": 0.25, "session": 0.125, "recency": 1.05, "importance": 1, "confidence": 1, "authority": 1, "answer": 0.1}
	explained := "(lexical 1.000 + feedback 0.250 + vector 0.500 + session 0.125) * authority 1.000 * confidence 1.000 * importance 1.000 * recency 1.050 + answer 0.100"
	scope := []string{"--scope", "project:dubnium"}
	for name, c := range map[string]struct {
		doc  any
		args []string
		want []string
	}{
		"list":      {memory.Page[memory.Memory]{Items: []memory.Memory{m}, Next: "next"}, append([]string{"list"}, scope...), []string{"superseded: A statement", "--cursor next", text}},
		"get":       {m, append([]string{"get", someID.String()}, scope...), []string{"superseded", "role-marker", text}},
		"retrieve":  {memory.Retrieved{Memories: []memory.Hit{{Memory: m, Rank: 1, Score: 1.2, Parts: parts}}, Event: event}, append([]string{"retrieve", "--query", "q", "--explain"}, scope...), []string{"flagged: override-phrase", "Ann", "from operator", explained, text}},
		"events":    {memory.Page[memory.RetrievalEvent]{Items: []memory.RetrievalEvent{event}}, []string{"events"}, []string{"uid 1000", "agent reviewer", "project:dubnium", text}},
		"event":     {memory.EventHits{RetrievalEvent: event, Hits: []memory.EventHit{{Rank: 1, MemoryID: someID, MemoryVersion: 3, Score: 1.2, Parts: parts}}}, append([]string{"events", someID.String()}, scope...), []string{explained}},
		"replay":    {memory.Replay{EventID: someID, Differences: []memory.Difference{{MemoryID: someID, Was: 1, Why: "deleted", Message: text}}, Notes: []string{"the model is another one"}}, append([]string{"replay", someID.String()}, scope...), []string{"deleted: A statement", "another one", text}},
		"sessions":  {memory.Page[memory.Session]{Items: []memory.Session{{ID: someID, CreatedAt: someTime, EndedAt: &someTime, Title: text, Memories: 12}}}, append([]string{"sessions", "list"}, scope...), []string{"(12 memories)", text}},
		"tasks":     {memory.Page[memory.Task]{Items: []memory.Task{{ID: someID, Status: "running", UpdatedAt: someTime, Version: 12, Title: text}}}, append([]string{"tasks", "list"}, scope...), []string{"running", text}},
		"artifacts": {memory.Page[memory.Artifact]{Items: []memory.Artifact{{ID: someID, CreatedAt: someTime, ArtifactType: "document", SizeBytes: 209715200, Name: "evidence.log", SHA256: strings.Repeat("5", 64)}}}, append([]string{"artifacts", "list"}, scope...), []string{"document evidence.log", strings.Repeat("5", 64)}},
		"dead":      {memory.Page[memory.DeadLetter]{Items: []memory.DeadLetter{{MemoryID: someID, Model: "bge-small-en-v1.5", Attempts: 5, FailedAt: someTime, LastError: text}}}, []string{"queue", "dead"}, []string{"bge-small-en-v1.5", text}},
	} {
		t.Run(name, func(t *testing.T) {
			screen := openTerminal(t)
			if code := runAgainst(answers(t, c.doc), strings.NewReader(""), screen.File, screen.File, c.args...); code != 0 {
				t.Fatalf("exit %d: %s", code, screen.shows(t, "ai-memory: "))
			}
			fmt.Fprint(screen, "<end>")
			got := strings.ReplaceAll(screen.shows(t, "<end>"), "\r", "")
			if !strings.Contains(got, someID.String()) {
				t.Errorf("the id is cut:\n%s", got)
			}
			whole := strings.Join(strings.Fields(got), " ")
			for _, want := range c.want {
				if !strings.Contains(whole, want) {
					t.Errorf("it lacks %q:\n%s", want, got)
				}
			}
			if name == "get" || name == "event" {
				return // texts as they are, to be copied
			}
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
					t.Errorf("a line of %d columns: %s", n, line)
				}
			}
		})
	}
}

// TestHelpFits holds that the help of every command can be read at 80 columns.
func TestHelpFits(t *testing.T) {
	commands := regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)  +\S`)
	help := func(args ...string) string {
		screen := openTerminal(t)
		runAgainst("http://127.0.0.1:1", strings.NewReader(""), screen.File, screen.File, append(args, "--help")...)
		fmt.Fprint(screen, "<end>")
		return strings.ReplaceAll(screen.shows(t, "<end>"), "\r", "")
	}
	all := [][]string{nil}
	for _, m := range commands.FindAllStringSubmatch(help(), -1) {
		all = append(all, strings.Fields(m[1]))
	}
	if len(all) < 25 {
		t.Fatalf("only %v are found", all)
	}
	for _, c := range all {
		got := help(c...)
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("help of %v, a line of %d columns: %s", c, n, line)
			}
		}
		if strings.Contains(got, ",...,...") {
			t.Errorf("help of %v says twice that a flag takes a list:\n%s", c, got)
		}
	}
}

// TestProgress holds that a long transfer shows on a terminal how far it is,
// and leaves nothing of that there; and that elsewhere nothing is drawn.
func TestProgress(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "evidence")
	if err := os.WriteFile(file, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			buf := make([]byte, 4<<20)
			for {
				if _, err := io.ReadFull(r.Body, buf); err != nil {
					break
				}
				time.Sleep(redraw / 4) // a slow disk
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"id": someID, "sha256": "5", "size_bytes": 64 << 20, "memories": 3})
			return
		}
		for range 8 {
			_, _ = w.Write(make([]byte, 256<<10))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(redraw / 2)
		}
	}))
	t.Cleanup(s.Close)
	const clear = "\r\x1b[K"
	for name, c := range map[string]struct {
		args []string
		word string
	}{
		"artifact": {[]string{"artifacts", "add", file, "--scope", "project:x"}, " MiB sent"},
		"import":   {[]string{"import", file}, " MiB sent"},
		"export":   {[]string{"export", "--scope", "project:x", "--output", filepath.Join(dir, "out")}, " MiB received"},
	} {
		t.Run(name, func(t *testing.T) {
			screen := openTerminal(t)
			if code := runAgainst(s.URL, strings.NewReader(""), screen.File, screen.File, c.args...); code != 0 {
				t.Fatalf("exit %d: %s", code, screen.shows(t, "ai-memory: "))
			}
			fmt.Fprint(screen, "<end>")
			got := screen.shows(t, "<end>")
			drawn := strings.LastIndex(got, c.word)
			if drawn < 0 {
				t.Fatalf("it drew no progress: %q", got)
			}
			if rest := got[drawn:]; !strings.HasPrefix(rest, c.word+clear) {
				t.Errorf("it left its progress on the terminal: %q", got)
			}
			_ = os.Remove(filepath.Join(dir, "out"))
			var stdout, stderr strings.Builder
			if code := runAgainst(s.URL, strings.NewReader(""), &stdout, &stderr, c.args...); code != 0 || stderr.Len() > 0 {
				t.Errorf("off a terminal: exit %d, %q", code, stderr.String())
			}
			_ = os.Remove(filepath.Join(dir, "out"))
		})
	}
}

// TestExportIsWhole holds that a transfer which breaks off leaves no file that
// would pass for the whole.
func TestExportIsWhole(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"kind":"scope"}`+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "out")
	var stdout, stderr strings.Builder
	code := runAgainst(s.URL, strings.NewReader(""), &stdout, &stderr, "export", "--scope", "project:x", "--output", file)
	if code != exitcode.Inspection || !strings.Contains(stderr.String(), file) {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a part of it is there")
	}
}
