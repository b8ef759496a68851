package guards

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/tests/hosts"
)

// witnessed holds the reasons that the tests of this package saw a guard give.
var witnessed = struct {
	sync.Mutex
	reasons map[string]map[string]bool
}{reasons: map[string]map[string]bool{}}

// witness records that a test saw a guard give a reason, and fails it for one
// that the guard has not declared.
func witness(t *testing.T, d guard.Descriptor, reason string) {
	t.Helper()
	if _, declared := d.Reason(reason); !declared {
		t.Errorf("%s gave the reason %q, which it has not declared", d.Binary(), reason)
	}
	witnessed.Lock()
	defer witnessed.Unlock()
	if witnessed.reasons[d.Name] == nil {
		witnessed.reasons[d.Name] = map[string]bool{}
	}
	witnessed.reasons[d.Name][reason] = true
}

// TestMain fails a whole run in which a guard's tests did not see all of the
// reasons that it declares. A guard whose tests call witness at all is held to
// it.
func TestMain(m *testing.M) {
	code := m.Run()
	if only := flag.Lookup("test.run").Value.String(); only == "" && code == 0 {
		for _, missing := range unwitnessed(All()) {
			fmt.Println("no test saw " + missing)
			code = 1
		}
	}
	os.Exit(code)
}

func unwitnessed(all []guard.Descriptor) []string {
	witnessed.Lock()
	defer witnessed.Unlock()
	var missing []string
	for _, d := range all {
		seen := witnessed.reasons[d.Name]
		for _, r := range d.Reasons {
			if seen != nil && !seen[r.Word] {
				missing = append(missing, d.Binary()+" give the reason "+r.Word)
			}
		}
	}
	return missing
}

func TestUnwitnessedReasonsAreNamed(t *testing.T) {
	d := guard.Descriptor{Name: "made_up", Reasons: []guard.Reason{{Word: "fine", Class: guard.Pass}, {Word: "never", Class: guard.Block}}}
	witness(t, d, "fine")
	want := []string{"check_made_up give the reason never"}
	if got := unwitnessed([]guard.Descriptor{d}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// looking is one guard's look at a fixture machine, and what it must say.
type looking struct {
	guard   guard.Descriptor
	host    string // a fixture machine
	edit    []string
	noBus   bool // the machine's files without its bus
	change  func(h *hosts.Host)
	config  func(c *config.Config)
	target  mode.Mode // of the guard by default
	within  time.Duration
	reason  string
	message string // a part of it
}

func (l looking) run(t *testing.T) guard.Result {
	t.Helper()
	archive := hosts.Load(t, l.host)
	for i := 0; i < len(l.edit); i += 2 {
		edited := false
		for j := range archive.Files {
			f := &archive.Files[j]
			if old := string(f.Data); strings.Contains(old, l.edit[i]) {
				f.Data, edited = []byte(strings.Replace(old, l.edit[i], l.edit[i+1], 1)), true
				break
			}
		}
		if !edited {
			t.Fatalf("the machine %s has no %q to edit", l.host, l.edit[i])
		}
	}
	start := hosts.StartArchive
	if l.noBus {
		start = hosts.Unpack
	}
	h := start(t, archive)
	if l.change != nil {
		l.change(h)
	}
	cfg := config.Default()
	if l.config != nil {
		l.config(&cfg)
	}
	if l.target == "" {
		l.target = l.guard.Target
	}
	if l.within == 0 {
		l.within = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), l.within)
	defer cancel()
	begin := time.Now()
	r := guard.Run(ctx, l.guard, guard.Env{Root: h.Root(), Config: cfg, Target: l.target})
	if took := time.Since(begin); took > l.within+time.Second {
		t.Errorf("answered after %v, the deadline is %v", took, l.within)
	}
	return r
}

// holds runs a table of looks.
func holds(t *testing.T, tests map[string]looking) {
	t.Helper()
	for name, l := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := l.run(t)
			witness(t, l.guard, r.Reason)
			if r.Reason != l.reason || !strings.Contains(r.Message, l.message) {
				t.Errorf("%s: %s\nwant %s: …%s…", r.Reason, r.Message, l.reason, l.message)
			}
			contract(t, l.guard, r)
		})
	}
}

// contract holds what is true of every result.
func contract(t *testing.T, d guard.Descriptor, r guard.Result) {
	t.Helper()
	reason, _ := d.Reason(r.Reason)
	want := map[guard.Class]exitcode.Code{guard.Pass: exitcode.OK, guard.Block: d.Block, guard.Error: d.Block + 10}
	if code, ok := want[r.Class]; !ok || r.Code != code || r.Class != reason.Class || r.OK != (r.Class == guard.Pass) || r.Hard != d.Hard {
		t.Errorf("class %q, code %d, ok %v, hard %v do not belong to the reason %q of %s", r.Class, r.Code, r.OK, r.Hard, r.Reason, d.Binary())
	}
	if r.Guard != d.Binary() || strings.TrimSpace(r.Message) == "" {
		t.Errorf("guard %q, message %q", r.Guard, r.Message)
	}
	var fields map[string]any
	if err := json.Unmarshal(r.Evidence, &fields); err != nil {
		t.Errorf("the evidence is no object: %v: %s", err, r.Evidence)
	}
	for name, value := range fields {
		if value == nil {
			t.Errorf("the evidence's %s is null", name)
		}
	}
}

// fifo puts a named pipe, which blocks a careless reader, in a file's place.
func fifo(name string) func(*hosts.Host) {
	return func(h *hosts.Host) {
		h.Remove(name)
		if err := unix.Mkfifo(h.Root().Path(name), 0o644); err != nil {
			panic(err)
		}
	}
}

// without takes a file off the machine.
func without(name string) func(*hosts.Host) { return func(h *hosts.Host) { h.Remove(name) } }

// with writes a file of the machine.
func with(name, content string) func(*hosts.Host) {
	return func(h *hosts.Host) { h.Write(name, content) }
}

// silent is how long a guard waits for a source that never answers.
const silent = 300 * time.Millisecond

// deadBus is what every guard that asks over the bus says of one that is
// missing, refuses, or does not answer.
func deadBus(d guard.Descriptor) map[string]looking {
	return map[string]looking{
		"no bus":          {guard: d, host: "idle-desktop", noBus: true, reason: "source-unreadable", message: "system_bus_socket"},
		"bus crashed":     {guard: d, host: "idle-desktop", change: (*hosts.Host).KillBus, reason: "source-unreadable", message: "connection refused"},
		"bus stopped":     {guard: d, host: "idle-desktop", change: (*hosts.Host).StopBus, within: silent, reason: "deadline"},
		"services silent": {guard: d, host: "idle-desktop", change: (*hosts.Host).Hang, within: silent, reason: "deadline"},
	}
}

// deadLogin is what every guard that asks logind says when logind alone fails.
func deadLogin(d guard.Descriptor) map[string]looking {
	return map[string]looking{
		"logind silent": {guard: d, host: "idle-desktop", change: (*hosts.Host).HangLogin, within: silent, reason: "deadline", message: "login1"},
		"logind refuses": {guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
			h.Login.Refuse("ListSessions", "org.freedesktop.DBus.Error.AccessDenied")
		}, reason: "source-unreadable", message: "AccessDenied"},
		"session undescribed": {guard: d, host: "idle-desktop", change: func(h *hosts.Host) {
			h.Login.Refuse("GetAll", "org.freedesktop.DBus.Error.Failed")
		}, reason: "source-unreadable", message: "session 2"},
	}
}

func merge(tables ...map[string]looking) map[string]looking {
	out := map[string]looking{}
	for _, t := range tables {
		maps.Copy(out, t)
	}
	return out
}
