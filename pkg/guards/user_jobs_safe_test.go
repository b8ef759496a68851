package guards

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/jobs"
	"github.com/ryjen/dubnium/tests/hosts"
)

// counted gives every control group of a machine a processor time that stands
// still.
func counted(h *hosts.Host) {
	root := h.Root().Path("/sys/fs/cgroup")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.WriteFile(filepath.Join(path, "cpu.stat"), []byte("usage_usec 1000\n"), 0o644)
		}
		return err
	})
	if err != nil {
		panic(err)
	}
}

// advance lets a counter of microseconds run until it is stopped, at ten times
// the pace of the clock: who writes it may be held up by a busy machine.
func advance(t *testing.T, h *hosts.Host, file string, text func(micros int64) string) (stop func()) {
	t.Helper()
	start, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	path := h.Root().Path(file)
	go func() {
		defer close(ended)
		for {
			// Replaced at once, so that no reader sees half of it.
			micros := int64(1e9) + 10*time.Since(start).Microseconds()
			if err := os.WriteFile(path+".new", []byte(text(micros)), 0o644); err != nil {
				panic(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				panic(err)
			}
			select {
			case <-done:
				return
			case <-time.After(500 * time.Microsecond):
			}
		}
	}()
	return func() { close(done); <-ended }
}

// process adds a process to a fixture machine, and to a control group of it.
func process(h *hosts.Host, pid, ppid int, comm, cgroup string) {
	dir := fmt.Sprintf("proc/%d/", pid)
	h.Write(dir+"stat", fmt.Sprintf("%d (%s) S %d %d %d 0 -1 4194560 900 0 3 0 40 20 0 0 20 0 1 0 600 1 1 1\n", pid, comm, ppid, pid, pid))
	h.Write(dir+"comm", comm+"\n")
	h.Write(dir+"cgroup", "0::"+cgroup+"\n")
	procs := "sys/fs/cgroup" + cgroup + "/cgroup.procs"
	data, err := h.Root().ReadFile("/" + procs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		panic(err)
	}
	h.Write(procs, string(data)+fmt.Sprintln(pid))
}

const (
	desktopScope = "/user.slice/user-1000.slice/session-2.scope"
	remoteScope  = "/user.slice/user-1000.slice/session-9.scope"
)

func TestUserJobsSafe(t *testing.T) {
	job := func(change func(*hosts.Host), reason, message string) looking {
		return looking{
			guard: UserJobsSafe, host: "idle-desktop", reason: reason, message: message,
			change: func(h *hosts.Host) { change(h); counted(h) },
			config: func(c *config.Config) { c.Guards.Jobs.Window = config.Duration(20 * time.Millisecond) },
		}
	}
	configured := func(l looking, change func(*config.GuardJobs)) looking {
		before := l.config
		l.config = func(c *config.Config) { before(c); change(&c.Guards.Jobs) }
		return l
	}
	nothing := func(*hosts.Host) {}
	compute := job(nothing, "no-jobs", "")
	compute.host = "compute"
	remote := func(h *hosts.Host) {
		h.Login.AddSession(hosts.Props{
			"Id": "9", "Name": "ada", "UID": 1000, "Service": "sshd", "Type": "tty", "Class": "user",
			"Leader": 4000, "State": "active", "Active": true, "Remote": true, "Scope": "session-9.scope",
		})
		process(h, 4000, 731, "sshd-session", remoteScope)
		process(h, 4001, 4000, "bash", remoteScope)
	}
	unanswered := job(nothing, "deadline", "login1")
	unanswered.change = func(h *hosts.Host) { counted(h); h.HangLogin() }
	unanswered.within = silent
	noBus := job(nothing, "source-unreadable", "system_bus_socket")
	noBus.noBus = true
	long := configured(job(nothing, "deadline", "second look"), func(j *config.GuardJobs) { j.Window = config.Duration(time.Hour) })
	long.within = silent

	holds(t, map[string]looking{
		"an idle desktop":  job(nothing, "no-jobs", "no work of people"),
		"an idle computer": compute,
		"an upgrade":       job(func(h *hosts.Host) { process(h, 4100, 900, "apt-get", "/system.slice/upgrade.service") }, "package-manager", "apt-get (pid 4100) of"),
		"a build":          job(func(h *hosts.Host) { process(h, 4100, 4001, "ninja", desktopScope) }, "program-running", "ninja (pid 4100)"),
		"a build and more": job(func(h *hosts.Host) {
			process(h, 4100, 4001, "ninja", desktopScope)
			process(h, 4101, 4100, "cc1plus", desktopScope)
		}, "program-running", "and 1 more"),
		"tmux": job(func(h *hosts.Host) {
			process(h, 4100, 1, "tmux: server", desktopScope)
			process(h, 4101, 4100, "bash", desktopScope)
			process(h, 4102, 4101, "sleep", desktopScope)
		}, "multiplexer-working", "sleep (pid 4102)"),
		"tmux with an idle shell": job(func(h *hosts.Host) {
			process(h, 4100, 1, "tmux: server", desktopScope)
			process(h, 4101, 4100, "bash", desktopScope)
		}, "no-jobs", ""),
		"somebody far away":           job(func(h *hosts.Host) { remote(h); process(h, 4002, 4001, "vim", remoteScope) }, "remote-session", "vim (pid 4002)"),
		"somebody far away, thinking": job(remote, "no-jobs", ""),
		"anybody far away":            configured(job(remote, "remote-session", "sshd-session (pid 4000)"), func(j *config.GuardJobs) { j.RemoteSessions = config.RemoteAny }),
		"a terminal": configured(job(func(h *hosts.Host) {
			process(h, 4100, 1, "foot", desktopScope)
			process(h, 4101, 4100, "vim", desktopScope)
		}, "terminal-working", "vim (pid 4101)"), func(j *config.GuardJobs) { j.Terminals = true }),

		"no bus":                    noBus,
		"logind silent":             unanswered,
		"nobody asks logind":        configured(noBusPass(job(nothing, "no-jobs", "")), func(j *config.GuardJobs) { j.RemoteSessions = config.RemoteIgnored }),
		"window beyond deadline":    long,
		"no processor time":         {guard: UserJobsSafe, host: "idle-desktop", reason: "source-unreadable", message: "cpu.stat"},
		"processes hidden":          job(without("proc/1"), "source-unreadable", "hidepid"),
		"hidden, but work was seen": job(func(h *hosts.Host) { h.Remove("proc/1"); process(h, 4100, 4001, "make", desktopScope) }, "program-running", "make"),
		"no proc":                   job(without("proc"), "source-unreadable", "proc"),
		"a garbled process":         job(with("proc/1604/stat", "rubbish"), "source-unreadable", "1604"),
		"a process that blocks":     job(fifo("proc/1604/stat"), "source-unreadable", "1604"),
		"garbled locks":             job(func(h *hosts.Host) { h.Write("var/lib/dpkg/lock", ""); h.Write("proc/locks", "1: POSIX x\n") }, "source-unreadable", "/proc/locks: line 1"),
		"a lock":                    job(lockedBy("1604"), "package-manager", "holds /var/lib/dpkg/lock"),
	})
}

func noBusPass(l looking) looking { l.noBus = true; return l }

// lockedBy lets a process of the machine hold dpkg's lock.
func lockedBy(pid string) func(*hosts.Host) {
	return func(h *hosts.Host) {
		h.Write("var/lib/dpkg/lock", "")
		path := h.Root().Path("/var/lib/dpkg/lock")
		info, err := os.Stat(path)
		if err != nil {
			panic(err)
		}
		h.Write("proc/locks", "1: POSIX  ADVISORY  WRITE "+pid+" "+lockID(info)+" 0 EOF\n")
	}
}

// TestSessionThatWorks lets a session use a whole processor while the guard
// looks.
func TestSessionThatWorks(t *testing.T) {
	h := hosts.Start(t, "idle-desktop")
	counted(h)
	stop := advance(t, h, "sys/fs/cgroup"+desktopScope+"/cpu.stat", func(micros int64) string {
		return fmt.Sprintf("usage_usec %d\n", micros)
	})
	defer stop()
	cfg := config.Default()
	r := guard.Run(t.Context(), UserJobsSafe, guard.Env{Root: h.Root(), Config: cfg, Target: UserJobsSafe.Target})
	witness(t, UserJobsSafe, r.Reason)
	contract(t, UserJobsSafe, r)
	if r.Reason != "session-busy" || !strings.Contains(r.Message, "of a processor are in use there") || !strings.Contains(r.Message, "session 2") {
		t.Errorf("%s: %s\n%s", r.Reason, r.Message, r.Evidence)
	}
}

// TestEvidenceOfJobsIsBounded finds far more than a line may hold.
func TestEvidenceOfJobsIsBounded(t *testing.T) {
	var s jobs.Sight
	for i := range 5000 {
		var p jobs.Process
		p.PID, p.Comm, p.Cgroup, p.State = i+2, "make", "/user.slice/user-1000.slice/"+strings.Repeat("x", 200)+".scope", 'S'
		s.Processes = append(s.Processes, p)
		s.Groups = append(s.Groups, jobs.Group{Cgroup: p.Cgroup, Window: time.Second})
	}
	policy := config.Default().Guards.Jobs
	ev := newJobsEvidence(s, jobs.Find(s, policy, nil), 50)
	r := guard.Finish(UserJobsSafe, UserJobsSafe.Target, judgeJobs(ev, nil), time.Now())
	if len(r.Evidence) > 32<<10 || ev.JobCount != 5000 || !strings.Contains(r.Message, "and 4999 more") {
		t.Errorf("%d bytes of evidence for %d jobs: %s", len(r.Evidence), ev.JobCount, r.Message)
	}
}

// TestEveryKindOfJobHasItsReason holds the table of words.
func TestEveryKindOfJobHasItsReason(t *testing.T) {
	for kind, word := range jobReasons {
		if r, ok := UserJobsSafe.Reason(word); !ok || r.Class != guard.Block {
			t.Errorf("%s has the reason %q, which is none", kind, word)
		}
		v := judgeJobs(jobsEvidence{Jobs: []jobs.Job{{Kind: kind, PID: 7, Comm: "x"}}, JobCount: 1}, errors.New("and not all could be seen"))
		if v.Reason != word || !strings.Contains(v.Message, "x (pid 7)") {
			t.Errorf("%s: %s: %s", kind, v.Reason, v.Message)
		}
	}
}
