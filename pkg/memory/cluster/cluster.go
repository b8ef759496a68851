// Package cluster runs a Postgres server that belongs to one service alone:
// made from the system's own binaries on first start, in a folder of its own,
// reachable through a unix socket in a folder that only the service's user can
// enter, and gone when the service is.
//
// Whoever may enter that folder may speak as any role. The roles are there
// against mistakes, not against the user that the data files belong to anyhow:
// [Service] can neither switch row security off nor change a table.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ryjen/dubnium/pkg/flock"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/procinfo"
)

// The roles and the database of a cluster.
const (
	Database = "dubnium_memory"
	// Owner owns the database and what is in it: it migrates.
	Owner = "dubnium_memory_owner"
	// Service is what the service speaks as: no superuser, no owner.
	Service = "dubnium_memory"
	// Superuser made the database. Nothing that runs uses it.
	Superuser = "postgres"
)

// port is only the end of the socket's name: nothing listens on a network.
const port = "5432"

// maxSocket is the longest path of a unix socket, in bytes; see unix(7).
const maxSocket = 107

// minFree is what a first start needs on its file system, in bytes: the files
// of initdb and a few segments of the write-ahead log.
const minFree = 96 << 20

// Config says where a cluster lives and what it runs.
type Config struct {
	// Dir is the cluster's folder. It is made when it is missing.
	Dir string
	// SocketDir is the folder of the socket; empty is Dir/socket. Its path has
	// some 90 bytes at most.
	SocketDir string
	// Binaries is the folder that holds postgres and initdb; empty is that of
	// the data folder's version, or the newest, among those of the system.
	Binaries string
	// Root is where the system's binaries and /proc are looked for.
	Root hostfs.Root
	// Credential is the user that the server runs as; nil is ours. Postgres
	// refuses to run as root.
	Credential *syscall.Credential
	// SharedBuffers is how much of the files the server keeps in memory, in
	// bytes; 0 is a part of the machine's memory, see [Config.buffers].
	SharedBuffers uint64
	// Settings are added to the server's own, such as max_connections.
	Settings map[string]string
	// StartTimeout bounds the start, with recovery after a crash; 0 is a
	// minute. StopTimeout bounds the stop; 0 is 20 seconds.
	StartTimeout, StopTimeout time.Duration
	// Log gets each line that the server prints; nil drops them.
	Log func(line string)
}

// Cluster is a server that runs.
type Cluster struct {
	config  Config
	server  *process
	version int
	lock    *flock.Lock
}

// ErrNoPostgres says that no Postgres was found on the system.
var ErrNoPostgres = errors.New("no Postgres found")

// ErrNoVector says that the Postgres of the cluster has no pgvector.
var ErrNoVector = errors.New("pgvector is not installed for this Postgres")

// ErrVersion says that the data folder was made by another major version than
// the binaries have.
var ErrVersion = errors.New("the data folder is of another Postgres version")

// Start starts the cluster in its folder, and makes it first where there is
// none. It returns when the server answers. A folder that another process uses
// is refused with [flock.ErrHeld], a full disk with [syscall.ENOSPC].
func Start(ctx context.Context, config Config) (*Cluster, error) {
	c, err := start(ctx, config.complete())
	if err != nil {
		return nil, fmt.Errorf("start Postgres in %s: %w", config.Dir, err)
	}
	return c, nil
}

func (c Config) complete() Config {
	if c.SocketDir == "" {
		c.SocketDir = filepath.Join(c.Dir, "socket")
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = 20 * time.Second
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	return c
}

func (c Config) data() string { return filepath.Join(c.Dir, "data") }

// uid is the user that the server runs as.
func (c Config) uid() int {
	if c.Credential != nil {
		return int(c.Credential.Uid)
	}
	return os.Geteuid()
}

func start(ctx context.Context, config Config) (_ *Cluster, err error) {
	if !filepath.IsAbs(config.Dir) || !filepath.IsAbs(config.SocketDir) {
		return nil, errors.New("not an absolute path: give one")
	}
	if config.uid() == 0 {
		return nil, errors.New("a server refuses to run as root: give it a user of its own")
	}
	if socket := filepath.Join(config.SocketDir, ".s.PGSQL."+port); len(socket) > maxSocket {
		return nil, fmt.Errorf("the path of its socket, %s, is longer than %d bytes: choose a shorter folder", socket, maxSocket)
	}
	ctx, cancel := context.WithTimeout(ctx, config.StartTimeout)
	defer cancel()
	for _, dir := range []string{config.Dir, config.SocketDir} {
		if err := config.folder(dir); err != nil {
			return nil, err
		}
	}
	lock, err := flock.TryAcquire(filepath.Join(config.Dir, "lock"), fmt.Appendf(nil, "%d\n", os.Getpid()))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Release())
		}
	}()
	bin, err := config.choose(ctx)
	if err != nil {
		return nil, err
	}
	if err := config.make(ctx, bin); err != nil {
		return nil, err
	}
	if err := config.settle(ctx); err != nil {
		return nil, err
	}
	server, err := config.serve(ctx, bin)
	if err != nil {
		return nil, err
	}
	return &Cluster{config: config, server: server, version: bin.Major, lock: lock}, nil
}

// folder makes a folder that only the server's user can enter, besides root.
func (c Config) folder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if c.Credential != nil {
		if err := os.Chown(dir, int(c.Credential.Uid), int(c.Credential.Gid)); err != nil {
			return err
		}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// Bounds of what the server keeps of its files in memory unless it is told: the
// least is Postgres's own default.
const (
	leastBuffers = 128 << 20
	mostBuffers  = 4 << 30
)

// buffers is what was asked for, or a sixteenth of the machine's memory within
// bounds: Postgres's manual advises a quarter where nothing else runs, and here
// a desktop or a model does. Memory that cannot be read is taken for little.
func (c Config) buffers() uint64 {
	if c.SharedBuffers != 0 {
		return c.SharedBuffers
	}
	memory, err := procinfo.Meminfo(c.Root)
	if err != nil {
		return leastBuffers
	}
	return min(max(memory.MemTotalKiB*1024/16, leastBuffers), mostBuffers)
}

// settings are the server's, each as name=value.
func (c Config) settings() []string {
	all := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": c.SocketDir,
		"unix_socket_permissions": "0700",
		"port":                    port,
		"log_destination":         "stderr",
		"logging_collector":       "off",
		"log_line_prefix":         "",
		"log_timezone":            "UTC",
		"timezone":                "UTC",
		"max_connections":         "64",
		"shared_buffers":          strconv.FormatUint(c.buffers()>>10, 10) + "kB",
		"jit":                     "off", // compiling takes longer than our queries
		"max_wal_size":            "1GB",
		"checkpoint_timeout":      "15min",
		"random_page_cost":        "1.1",
	}
	for name, value := range c.Settings {
		all[name] = value
	}
	args := make([]string, 0, 2*len(all))
	for name, value := range all {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// readyPoll is how often the start looks whether the server answers.
const readyPoll = 10 * time.Millisecond

// serve starts the server and waits until it answers.
func (c Config) serve(ctx context.Context, bin Binaries) (*process, error) {
	server, err := c.run(bin.program("postgres"), append([]string{"-D", c.data()}, c.settings()...), nil)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		p, err := c.postmaster()
		if err == nil && p.pid == server.pid && p.ready {
			return server, nil
		}
		select {
		case <-server.done:
			return nil, c.full(fmt.Errorf("the server ended before it was ready: %w", server.err))
		case <-ctx.Done():
			server.stop(syscall.SIGQUIT, c.StopTimeout)
			return nil, fmt.Errorf("the server was not ready within %v: %w; it said: %s", c.StartTimeout, ctx.Err(), server.tail())
		case <-tick.C:
		}
	}
}

// full adds that the disk is full, where it is.
func (c Config) full(err error) error {
	var s syscall.Statfs_t
	if syscall.Statfs(c.Dir, &s) == nil && s.Bavail*uint64(s.Bsize) < 1<<20 {
		return fmt.Errorf("%w: %w on the file system of %s: make room there", err, syscall.ENOSPC, c.Dir)
	}
	return err
}

// DSN is how role connects to the database.
func (c *Cluster) DSN(role string) string { return c.config.URL(role, Database) }

// URL is how role connects to a database of the cluster.
func (c *Cluster) URL(role, database string) string { return c.config.URL(role, database) }

// URL is how role connects to a database of the cluster of this configuration,
// which another process runs.
func (c Config) URL(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Path: "/" + database, RawQuery: url.Values{
		"host": {c.complete().SocketDir}, "port": {port}, "sslmode": {"disable"},
	}.Encode()}
	return u.String()
}

// Version is the major version of the server.
func (c *Cluster) Version() int { return c.version }

// PID is that of the server.
func (c *Cluster) PID() int { return c.server.pid }

// Done is closed when the server has ended, whatever the reason.
func (c *Cluster) Done() <-chan struct{} { return c.server.done }

// Err says how a server ended that nobody stopped; it is nil while it runs and
// after a stop. It is asked after Done.
func (c *Cluster) Err() error {
	select {
	case <-c.server.done:
	default:
		return nil
	}
	err := c.server.err
	if c.server.wasStopped() {
		return nil
	}
	if err == nil {
		err = errors.New("somebody else stopped it")
	}
	return fmt.Errorf("the Postgres in %s ended by itself: %w", c.config.Dir, c.config.full(err))
}

// Stop ends the server: connections are cut, what was committed is written, and
// the next start has nothing to recover. One that does not end in time is
// killed, and the next start recovers.
func (c *Cluster) Stop() error {
	var errs []error
	if !c.server.stop(syscall.SIGINT, c.config.StopTimeout) {
		errs = append(errs, fmt.Errorf("it did not stop within %v and was killed; it said: %s", c.config.StopTimeout, c.server.tail()))
	}
	errs = append(errs, c.lock.Release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop Postgres in %s: %w", c.config.Dir, err)
	}
	return nil
}

// madeBy is the major version that made the data folder; 0 is that there is no
// data folder.
func (c Config) madeBy() (int, error) {
	path := filepath.Join(c.data(), "PG_VERSION")
	text, err := hostfs.Root("").ReadLimited(path, 64)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(c.data()); err == nil {
			return 0, fmt.Errorf("%s is there, but is no data folder of Postgres: move it away", c.data())
		}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var major int
	if _, err := fmt.Sscanf(strings.TrimSpace(string(text)), "%d", &major); err != nil || major <= 0 {
		return 0, fmt.Errorf("read %s: %q is no version of Postgres", path, strings.TrimSpace(string(text)))
	}
	return major, nil
}
