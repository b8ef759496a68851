// Package jobs holds what the guards of load, jobs and vLLM see on a booted
// machine: real sessions, real process trees, real locks, a real server.
package jobs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/tests/machine"
)

// settings make the guards answer for this machine alone: the host that it
// runs on may be busy with other things.
const settings = `[guards.load]
hostPressurePct = 100
slicePressurePct = 20
slices = ["user.slice"]
window = "400ms"

[guards.jobs]
cpuPct = 12
window = "500ms"

[vllm]
enable = true
model = "/var/lib/dubnium/models/demo"
drainTimeout = "20s"
`

// bin holds the programs under test, built once.
var bin string

func TestMain(m *testing.M) {
	code := 1
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(bin)
	os.Exit(code)
}

func build() (err error) {
	if bin, err = os.MkdirTemp("", "guards-"); err != nil {
		return err
	}
	for _, args := range [][]string{
		// A folder as the target keeps the names of the programs.
		{bin + "/", "./cmd/check_cpu_load_safe", "./cmd/check_user_jobs_safe", "./cmd/check_vllm_drainable"},
		{filepath.Join(bin, "vllm-stand-in"), "./tests/fakes/vllm"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-o"}, args...)...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %v: %w\n%s", args, err, out)
		}
	}
	return nil
}

// boot boots a machine with the guards and a stand-in vLLM on it.
func boot(t *testing.T, more ...machine.File) *machine.Machine {
	t.Helper()
	return machine.Start(t, machine.Options{BinDir: bin, Files: append([]machine.File{
		{Path: "/etc/dubnium/dubnium.toml", Content: settings},
		{Path: "/etc/systemd/system/vllm.service", Content: "[Service]\nType=exec\nExecStart=/usr/bin/vllm-stand-in serve demo --host 127.0.0.1 --port 8000\n"},
	}, more...)})
}

// result is a guard's line, as far as the tests look at it.
type result struct {
	Code     int             `json:"code"`
	Reason   string          `json:"reason"`
	Message  string          `json:"message"`
	Evidence json.RawMessage `json:"evidence"`
	Duration float64         `json:"duration_ms"`
	Jobs     []job           `json:"-"`
}

type job struct {
	Kind, Comm, User, Session, Unit, Lock, Below string
	PID                                          int
	UserUnit                                     string  `json:"user_unit"`
	CPUPct                                       float64 `json:"cpu_pct"`
}

func (r result) String() string {
	return fmt.Sprintf("%d %s: %s\n%s", r.Code, r.Reason, r.Message, r.Evidence)
}

// ask runs a guard in the machine and holds its exit code against its line.
func ask(t *testing.T, m *machine.Machine, argv ...string) result {
	t.Helper()
	return read(t, m.Run(t.Context(), argv...))
}

func read(t *testing.T, run machine.Result) result {
	t.Helper()
	var r result
	if err := json.Unmarshal([]byte(run.Stdout), &r); err != nil || r.Code != run.Code || run.Stderr != "" || strings.Count(run.Stdout, "\n") != 1 {
		t.Fatalf("no line of a guard (%v): %s", err, run)
	}
	var evidence struct{ Jobs []job }
	if err := json.Unmarshal(r.Evidence, &evidence); err != nil {
		t.Fatal(err)
	}
	r.Jobs = evidence.Jobs
	return r
}

// expect asks until the guard gives a reason: what was started needs a moment.
func expect(t *testing.T, m *machine.Machine, reason string, argv ...string) result {
	t.Helper()
	var r result
	m.Eventually(t, 20*time.Second, func() error {
		if r = ask(t, m, argv...); r.Reason != reason {
			return fmt.Errorf("%v: want %s, got %s", argv, reason, r)
		}
		return nil
	})
	t.Logf("%s in %.0f ms: %s", r.Reason, r.Duration, r.Message)
	return r
}

// as runs a command with what a session of the user's manager has.
func as(t *testing.T, m *machine.Machine, user, uid string, argv ...string) {
	t.Helper()
	r := m.Exec(t.Context(), machine.Command{User: user, Args: argv, Env: []string{"XDG_RUNTIME_DIR=/run/user/" + uid}})
	if r.Code != 0 {
		t.Fatal(r)
	}
}

// running waits until there is a process that pgrep finds.
func running(t *testing.T, m *machine.Machine, pattern ...string) {
	t.Helper()
	m.Eventually(t, 20*time.Second, func() error {
		if r := m.Run(t.Context(), append([]string{"pgrep"}, pattern...)...); r.Code != 0 {
			return fmt.Errorf("not yet there: %s", r)
		}
		return nil
	})
}

// find gives the job of a program.
func find(r result, comm string) job {
	for _, j := range r.Jobs {
		if j.Comm == comm {
			return j
		}
	}
	return job{}
}

const jobs = "check_user_jobs_safe"

func TestUserJobs(t *testing.T) {
	m := boot(t)
	session, err := m.WaitSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A desktop without anybody's work: a compositor, a manager, services.
	expect(t, m, "no-jobs", jobs)

	t.Run("a busy unit of the user", func(t *testing.T) {
		as(t, m, "tester", "1000", "systemd-run", "--user", "--quiet", "--expand-environment=no", "--unit=spin", "--", "bash", "-c", "while :; do :; done")
		r := expect(t, m, "session-busy", jobs)
		if j := find(r, "bash"); j.User != "tester" || j.UserUnit != "spin.service" || j.Unit != "user@1000.service" || j.PID == 0 || j.CPUPct < 12 || j.CPUPct > 110 {
			t.Errorf("the culprit is not told: %s", r)
		}
		as(t, m, "tester", "1000", "systemctl", "--user", "stop", "spin.service")
		expect(t, m, "no-jobs", jobs)
	})

	t.Run("a busy tree in the session itself", func(t *testing.T) {
		// Each of its processes lives for a moment, as compilers do.
		script := fmt.Sprintf(`echo $$ >/sys/fs/cgroup/user.slice/user-1000.slice/session-%s.scope/cgroup.procs
			exec setpriv --reuid=tester --regid=tester --init-groups bash -c 'while :; do /bin/true; done'`, session.ID)
		m.MustRun(t, "systemd-run", "--quiet", "--expand-environment=no", "--unit=tree", "--property=Type=exec", "--property=ProtectControlGroups=no", "bash", "-c", script)
		r := expect(t, m, "session-busy", jobs)
		if len(r.Jobs) != 1 || r.Jobs[0].Session != session.ID || r.Jobs[0].User != "tester" {
			t.Errorf("the culprit is not told: %s", r)
		}
		m.MustRun(t, "pkill", "-u", "tester", "bash")
		expect(t, m, "no-jobs", jobs)
	})

	t.Run("dpkg at work", func(t *testing.T) {
		// A package whose installation waits until it is told to go on.
		m.MustRun(t, "bash", "-ec", `mkdir -p /root/p/DEBIAN; mkfifo /run/go
			printf 'Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: slow\n' >/root/p/DEBIAN/control
			printf '#!/bin/sh\nread line </run/go\n' >/root/p/DEBIAN/preinst; chmod 755 /root/p/DEBIAN/preinst
			dpkg-deb --build /root/p /root/slow.deb >/dev/null`)
		m.MustRun(t, "systemd-run", "--quiet", "--expand-environment=no", "--unit=install", "--property=Type=exec", "sh", "-c", "dpkg -i /root/slow.deb; true")
		running(t, m, "-f", "preinst install")
		r := expect(t, m, "package-manager", jobs)
		j := find(r, "dpkg")
		if j.User != "root" || j.Unit != "install.service" || !strings.HasPrefix(j.Lock, "/var/lib/dpkg/lock") {
			t.Errorf("the lock is not told: %s", r)
		}
		// Found by the lock alone, where the name is not known.
		config := strings.Replace(settings, "[guards.jobs]", "[guards.jobs]\npackageManagers = []", 1)
		if err := m.WriteFile("/run/names-unknown.toml", config); err != nil {
			t.Fatal(err)
		}
		if r := ask(t, m, jobs, "--config=/run/names-unknown.toml"); r.Code != 13 || find(r, "dpkg").Lock == "" {
			t.Errorf("by the lock alone: %s", r)
		}
		// Somebody without rights sees the same.
		if r := read(t, m.RunAs(t.Context(), "guest", jobs)); r.Code != 13 {
			t.Errorf("as guest: %s", r)
		}
		m.MustRun(t, "sh", "-c", "echo >/run/go")
		expect(t, m, "no-jobs", jobs) // the lock files are still there
		m.MustRun(t, "test", "-e", "/var/lib/dpkg/lock-frontend")
	})

	t.Run("below a multiplexer", func(t *testing.T) {
		// A stand-in with the name that tmux gives its server.
		script := `$0 = "tmux: server"; if (!fork) { exec "bash", "-c", "read x </run/user/1000/type; sleep 1000; true" } wait; sleep 1000`
		as(t, m, "tester", "1000", "mkfifo", "/run/user/1000/type")
		as(t, m, "tester", "1000", "systemd-run", "--user", "--quiet", "--expand-environment=no", "--unit=mux", "--", "perl", "-e", script)
		running(t, m, "-x", "tmux: server")
		expect(t, m, "no-jobs", jobs) // an idle shell
		m.MustRun(t, "sh", "-c", "echo >/run/user/1000/type")
		r := expect(t, m, "multiplexer-working", jobs)
		if j := find(r, "sleep"); j.User != "tester" || !strings.HasPrefix(j.Below, "tmux: server (pid ") || j.UserUnit != "mux.service" {
			t.Errorf("the culprit is not told: %s", r)
		}
		as(t, m, "tester", "1000", "systemctl", "--user", "stop", "mux.service")
		expect(t, m, "no-jobs", jobs)
	})

	t.Run("over ssh", func(t *testing.T) {
		m.MustRun(t, "bash", "-ec", `ip link set lo up; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id; mkdir -p ~guest/.ssh
			cp /root/.ssh/id.pub ~guest/.ssh/authorized_keys; chown -R guest: ~guest/.ssh; ssh-keygen -A >/dev/null; systemctl start ssh.service`)
		ssh := "ssh -tt -i /root/.ssh/id -o StrictHostKeyChecking=no -o LogLevel=ERROR guest@127.0.0.1"
		// A shell of a person, who types when told.
		m.MustRun(t, "bash", "-ec", "mkfifo /run/keys; systemd-run --quiet --unit=client sh -c 'exec 3<>/run/keys; exec "+ssh+" <&3'")
		m.Eventually(t, 20*time.Second, func() error {
			for _, s := range mustSessions(t, m) {
				if s.User == "guest" && s.Class == "user" && s.State == "active" {
					return nil
				}
			}
			return fmt.Errorf("nobody is logged in: %s", m.Journal("-u", "ssh", "-u", "client"))
		})
		expect(t, m, "no-jobs", jobs) // idle: a transition may be asked for over ssh
		any := strings.Replace(settings, "[guards.jobs]", "[guards.jobs]\nremoteSessions = \"any\"", 1)
		if err := m.WriteFile("/run/any.toml", any); err != nil {
			t.Fatal(err)
		}
		if r := ask(t, m, jobs, "--config=/run/any.toml"); r.Reason != "remote-session" {
			t.Errorf("any session: %s", r)
		}
		m.MustRun(t, "sh", "-c", "echo 'sleep 1000' >/run/keys")
		r := expect(t, m, "remote-session", jobs)
		if j := find(r, "sleep"); j.User != "guest" || j.Session == "" {
			t.Errorf("the culprit is not told: %s", r)
		}
		m.MustRun(t, "systemctl", "stop", "client.service")
		expect(t, m, "no-jobs", jobs)
	})
}

func mustSessions(t *testing.T, m *machine.Machine) []machine.Session {
	t.Helper()
	sessions, err := m.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

func TestCPULoad(t *testing.T) {
	m := boot(t)
	if _, err := m.WaitSession(t.Context()); err != nil {
		t.Fatal(err)
	}
	const load = "check_cpu_load_safe"
	// The slice is judged alone, and nothing in it works.
	if r := expect(t, m, "calm", load); r.Code != 0 {
		t.Error(r)
	}
	as(t, m, "tester", "1000", "systemd-run", "--user", "--quiet", "--expand-environment=no", "--unit=build", "--", "bash", "-c",
		"for i in {1..8}; do while :; do :; done & done; wait")
	if r := expect(t, m, "pressure-high", load); r.Code != 12 || !strings.Contains(r.Message, "tasks in user.slice wait for a processor") {
		t.Errorf("the slice is not told: %s", r)
	}
	// At once, while the kernel's own average still tells of the work.
	as(t, m, "tester", "1000", "systemctl", "--user", "stop", "build.service")
	start := time.Now()
	r := expect(t, m, "calm", load)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to see that the work has ended", took)
	}
	var evidence struct {
		Pressure []struct {
			Source string
			Avg10  float64 `json:"avg10_pct"`
		}
	}
	if err := json.Unmarshal(r.Evidence, &evidence); err != nil || len(evidence.Pressure) != 2 || evidence.Pressure[0].Source != "user.slice" {
		t.Fatalf("%v: %s", err, r)
	}
	t.Logf("the kernel's average over ten seconds: %.0f %%", evidence.Pressure[0].Avg10)
}

func TestVLLM(t *testing.T) {
	m := boot(t, machine.File{Path: "/etc/dubnium-fake-vllm.json", Content: `{"hold_ms": 3000}`})
	const drainable = "check_vllm_drainable"
	if r := ask(t, m, drainable); r.Reason != "not-running" || r.Code != 0 {
		t.Error(r)
	}
	m.MustRun(t, "ip", "link", "set", "lo", "up")
	m.MustRun(t, "systemctl", "start", "vllm.service")
	expect(t, m, "idle", drainable)

	// Four clients at once, each of which is held for three seconds.
	client := `for i in 1 2 3 4; do (exec 3<>/dev/tcp/127.0.0.1/8000; b='{"model":"demo","prompt":"x"}'
		printf 'POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s' ${#b} "$b" >&3; cat <&3 >>/run/answers) & done; wait`
	m.MustRun(t, "systemd-run", "--quiet", "--expand-environment=no", "--unit=clients", "bash", "-c", client)
	var r result
	m.Eventually(t, 2*time.Second, func() error {
		if r = ask(t, m, drainable); !strings.Contains(r.Message, "1 requests running and 3 waiting") {
			return fmt.Errorf("not all clients are seen: %s", r)
		}
		return nil
	})
	if r.Code != 15 {
		t.Error(r)
	}
	r = ask(t, m, drainable, "--wait", "--timeout=5s")
	var evidence struct {
		WaitedMS int `json:"waited_ms"`
	}
	if err := json.Unmarshal(r.Evidence, &evidence); err != nil || r.Reason != "drained" || evidence.WaitedMS < 200 || evidence.WaitedMS > 15000 {
		t.Errorf("%v: %s", err, r)
	}
	t.Logf("drained after %d ms", evidence.WaitedMS)
	m.Eventually(t, 5*time.Second, func() error {
		answers, err := m.ReadFile("/run/answers")
		if n := strings.Count(string(answers), "finish_reason"); err != nil || n != 4 {
			return fmt.Errorf("%d answers, %v", n, err)
		}
		return nil
	})

	// Longer than the drain time.
	if err := m.WriteFile("/run/short.toml", strings.Replace(settings, `"20s"`, `"500ms"`, 1)); err != nil {
		t.Fatal(err)
	}
	m.MustRun(t, "systemd-run", "--quiet", "--expand-environment=no", "--unit=clients2", "bash", "-c", client)
	m.Eventually(t, 2*time.Second, func() error {
		if r := ask(t, m, drainable); r.Code != 15 {
			return fmt.Errorf("no client is seen: %s", r)
		}
		return nil
	})
	if r := ask(t, m, drainable, "--wait", "--config=/run/short.toml"); r.Reason != "drain-overdue" || r.Code != 15 {
		t.Error(r)
	}

	// Stopped with SIGSTOP it takes connections and never answers.
	m.MustRun(t, "systemctl", "kill", "--signal=STOP", "vllm.service")
	start := time.Now()
	if r := ask(t, m, drainable, "--timeout=700ms"); r.Code != 25 || r.Reason != "deadline" {
		t.Error(r)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	m.MustRun(t, "systemctl", "kill", "--signal=CONT", "vllm.service")

	// Up, but nobody listens where the configuration says, as while a model is
	// still loading: what can't be reached has no requests.
	m.MustRun(t, "sh", "-c", "sed 's/\\[vllm\\]/&\\nport = 8001/' /etc/dubnium/dubnium.toml >/run/port.toml")
	if r := ask(t, m, drainable, "--config=/run/port.toml"); r.Code != 0 || r.Reason != "not-serving" {
		t.Error(r)
	}
}
