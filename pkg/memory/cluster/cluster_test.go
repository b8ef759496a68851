package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ryjen/dubnium/pkg/flock"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/memory/cluster"
	"github.com/ryjen/dubnium/tests/postgres"
)

func config(t *testing.T) cluster.Config {
	t.Helper()
	return cluster.Config{Dir: postgres.Folder(t), Binaries: postgres.Binaries(t), Credential: postgres.Credential()}
}

func start(t *testing.T, config cluster.Config) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func stop(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
}

// ask runs statements and returns the first value of the last one's answer.
func ask(t *testing.T, dsn string, statements ...string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var answer string
	for i, s := range statements {
		if i < len(statements)-1 {
			_, err = conn.Exec(t.Context(), s)
		} else {
			err = conn.QueryRow(t.Context(), s).Scan(&answer)
		}
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return answer
}

// TestLife holds a cluster's life: made, used, stopped, started again with what
// was written, killed and recovered.
func TestLife(t *testing.T) {
	cfg := config(t)
	c := start(t, cfg)
	owner := c.DSN(cluster.Owner)
	ask(t, owner, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1) RETURNING n::text")
	got := ask(t, c.DSN(cluster.Service), "SELECT format('%s %s %s', rolsuper, rolbypassrls, rolcreaterole) FROM pg_roles WHERE rolname = current_user")
	if got != "f f f" {
		t.Errorf("the service is superuser, bypasses row security, makes roles: %s", got)
	}
	if got := ask(t, c.DSN(cluster.Service), "SELECT current_setting('listen_addresses') || '/' || extname FROM pg_extension WHERE extname = 'vector'"); got != "/vector" {
		t.Errorf("listens on, and has: %s", got)
	}
	if _, err := cluster.Start(t.Context(), cfg); !errors.Is(err, flock.ErrHeld) {
		t.Errorf("a second start: %v", err)
	}
	stop(t, c)
	if err := c.Err(); err != nil {
		t.Errorf("a stop is no error: %v", err)
	}

	c = start(t, cfg)
	if err := syscall.Kill(-c.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the end of the server was not noticed")
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the end of a killed server: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "data/postmaster.pid")); err != nil {
		t.Fatalf("a killed server leaves no file to be stale: %v", err)
	}
	stop(t, c)

	// Its number has gone to another process.
	pid := filepath.Join(cfg.Dir, "data/postmaster.pid")
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(pid, []byte("1\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	c = start(t, cfg)
	defer stop(t, c)
	if got := ask(t, c.DSN(cluster.Owner), "SELECT n::text FROM kept"); got != "1" {
		t.Errorf("after a kill: %s", got)
	}
}

// TestSomebodyElseStopsIt holds that a clean end that we didn't ask for is told.
func TestSomebodyElseStopsIt(t *testing.T) {
	c := start(t, config(t))
	if err := syscall.Kill(c.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("%v", err)
	}
	stop(t, c)
}

// TestInterruptedMaking holds that a first start that was killed leaves nothing
// that a later one takes for a database.
func TestInterruptedMaking(t *testing.T) {
	cfg := config(t)
	half := filepath.Join(cfg.Dir, ".data.123")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if c, err := cluster.Start(ctx, cfg); err == nil {
		stop(t, c)
		t.Fatal("made within 300 ms")
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an interrupted start left a data folder: %v", err)
	}
	c := start(t, cfg)
	stop(t, c)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the interrupted start left is still there: %v", err)
	}
}

// fake makes a folder with a postgres and an initdb that are scripts.
func fake(t *testing.T, dir, postgres, initdb string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"postgres": postgres, "initdb": initdb} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const answer17 = `echo "postgres (PostgreSQL) 17.2 (Debian 17.2-1)"`

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(t *testing.T, c *cluster.Config)
		is   error
		says string
	}{
		"none": {func(t *testing.T, c *cluster.Config) {
			c.Binaries = filepath.Join(c.Dir, "nothing")
		}, cluster.ErrNoPostgres, "nothing"},
		"other version": {func(t *testing.T, c *cluster.Config) {
			if err := os.MkdirAll(filepath.Join(c.Dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(c.Dir, "data/PG_VERSION"), []byte("14\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, cluster.ErrVersion, "was made by 14"},
		"no data folder": {func(t *testing.T, c *cluster.Config) {
			if err := os.MkdirAll(filepath.Join(c.Dir, "data/photos"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil, "no data folder of Postgres"},
		"root": {func(t *testing.T, c *cluster.Config) {
			c.Credential = &syscall.Credential{}
		}, nil, "refuses to run as root"},
		"long path": {func(t *testing.T, c *cluster.Config) {
			c.SocketDir = filepath.Join(c.Dir, strings.Repeat("a", 100))
		}, nil, "longer than 107 bytes"},
		"relative": {func(t *testing.T, c *cluster.Config) {
			c.Dir = "here"
		}, nil, "absolute"},
		"initdb fails": {func(t *testing.T, c *cluster.Config) {
			c.Binaries = fake(t, filepath.Join(c.Dir, "bin"), answer17, "echo initdb: it is Monday >&2; exit 3")
		}, nil, "exit status 3; it said: initdb: it is Monday"},
		"hangs": {func(t *testing.T, c *cluster.Config) {
			c.Binaries = fake(t, filepath.Join(c.Dir, "bin"), answer17, "exec sleep 60")
			c.StartTimeout = 200 * time.Millisecond
		}, context.DeadlineExceeded, "initdb did not end"},
		"old": {func(t *testing.T, c *cluster.Config) {
			c.Binaries = fake(t, filepath.Join(c.Dir, "bin"), `echo "postgres (PostgreSQL) 9.6.1"`, "")
		}, cluster.ErrNoPostgres, "15 is the oldest"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			test.edit(t, &cfg)
			c, err := cluster.Start(t.Context(), cfg)
			if err == nil {
				stop(t, c)
				t.Fatal("it started")
			}
			if test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got: %v\nwant: %v, with %q", err, test.is, test.says)
			}
		})
	}
}

// TestNoVector holds that a Postgres without pgvector is refused with the name
// of what to install, and leaves no data folder.
func TestNoVector(t *testing.T) {
	cfg := config(t)
	version := filepath.Base(filepath.Dir(cfg.Binaries))
	prefix := strings.TrimSuffix(cfg.Binaries, "/usr/lib/postgresql/"+version+"/bin")
	bare := filepath.Join(cfg.Dir, "bare")
	if err := os.CopyFS(bare, os.DirFS(prefix)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(bare, "usr/share/postgresql", version, "extension/vector.control")); err != nil {
		t.Fatal(err)
	}
	cfg.Binaries = filepath.Join(bare, "usr/lib/postgresql", version, "bin")
	cfg.Dir = postgres.Folder(t)
	if err := os.Chmod(filepath.Dir(bare), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(t.Context(), cfg)
	if err == nil {
		stop(t, c)
	}
	if !errors.Is(err, cluster.ErrNoVector) || !strings.Contains(err.Error(), "postgresql-"+version+"-pgvector") {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "*data*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestFullDisk starts on a file system that has too little room, and on one
// that fills up under the server.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounting a small disk needs root: run the tests as root")
	}
	disk := func(t *testing.T, size string) cluster.Config {
		cfg := config(t)
		if err := syscall.Mount("tmpfs", cfg.Dir, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(cfg.Dir, 0); err != nil {
				t.Error(err)
			}
		})
		return cfg
	}
	t.Run("before", func(t *testing.T) {
		c, err := cluster.Start(t.Context(), disk(t, "20m"))
		if err == nil {
			stop(t, c)
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room") {
			t.Errorf("%v", err)
		}
	})
	t.Run("later", func(t *testing.T) {
		cfg := disk(t, "120m")
		stop(t, start(t, cfg))
		if err := os.WriteFile(filepath.Join(cfg.Dir, "fill"), bytes.Repeat([]byte{1}, 130<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		c, err := cluster.Start(t.Context(), cfg)
		if err == nil {
			stop(t, c)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v", err)
		}
		if err := os.Remove(filepath.Join(cfg.Dir, "fill")); err != nil {
			t.Fatal(err)
		}
		stop(t, start(t, cfg))
	})
}

// TestDiesWithItsService kills a service, and starts another one on its folder
// at once: nothing that was committed is lost.
func TestDiesWithItsService(t *testing.T) {
	if dir := os.Getenv("CLUSTER_TEST_DIR"); dir != "" {
		cfg := cluster.Config{Dir: dir, Binaries: postgres.Binaries(t), Credential: postgres.Credential()}
		c := start(t, cfg)
		ask(t, c.DSN(cluster.Owner), "CREATE TABLE kept (n int)", "INSERT INTO kept SELECT generate_series(1, 1000) RETURNING n::text")
		fmt.Printf("ready %d\n", c.PID())
		select {} // until it is killed
	}
	cfg := config(t)
	service := exec.Command(os.Args[0], "-test.run=^TestDiesWithItsService$")
	service.Env = append(os.Environ(), "CLUSTER_TEST_DIR="+cfg.Dir)
	service.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := service.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	var server int
	if _, err := fmt.Fscanf(out, "ready %d\n", &server); err != nil {
		t.Fatalf("the service said nothing: %v", err)
	}
	if err := service.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = service.Wait() // killed
	c := start(t, cfg)
	defer stop(t, c)
	if got := ask(t, c.DSN(cluster.Owner), "SELECT count(*)::text FROM kept"); got != "1000" {
		t.Errorf("%s of 1000 rows are left", got)
	}
	// Nobody may have waited for it yet, but it works in no folder any more.
	if _, err := os.Readlink("/proc/" + strconv.Itoa(server) + "/cwd"); err == nil {
		t.Errorf("the server %d outlived its service", server)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	control := func(share string) {
		dir := filepath.Join(root, share, "extension")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "vector.control"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	version := func(v string) string { return `echo "postgres (PostgreSQL) ` + v + `"` }
	fake(t, filepath.Join(root, "usr/lib/postgresql/15/bin"), version("15.20 (Debian 15.20-0+deb12u1)"), "")
	control("usr/share/postgresql/15")
	fake(t, filepath.Join(root, "usr/lib/postgresql/17/bin"), version("17.11"), "")
	fake(t, filepath.Join(root, "run/current-system/sw/bin"), version("18beta1"), "")
	control("run/current-system/sw/share/postgresql")
	fake(t, filepath.Join(root, "opt/pg/bin"), version("16.1"), "")
	fake(t, filepath.Join(root, "usr/local/bin"), "echo something else", "")
	if err := os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../lib/postgresql/15/bin/postgres", filepath.Join(root, "usr/bin/postgres")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range cluster.Find(t.Context(), hostfs.Root(root), "/opt/pg/bin:relative:/absent") {
		got = append(got, fmt.Sprint(b.Major, b.Vector))
	}
	if want := "[18 true 15 true 17 false 16 false]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
