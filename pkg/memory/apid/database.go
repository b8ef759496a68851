package apid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/memory/cluster"
	"github.com/ryjen/dubnium/pkg/memory/daemon"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

// memoryUser is the user that the private database runs as, when we are root.
const memoryUser = "dubnium-memory"

// database is the one that the configuration means, current and open.
type database struct {
	*store.Store
	private *cluster.Cluster // nil when somebody else runs it
}

// open starts the private database, where it is that, and brings the tables of
// either up to date.
func open(ctx context.Context, root hostfs.Root, cfg config.MemoryDatabase, log func(string)) (_ *database, err error) {
	db := &database{}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.close())
		}
	}()
	owner, service, err := db.connections(ctx, root, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx, owner); err != nil {
		return nil, exitcode.With(exitcode.Inspection, err)
	}
	mirror := int64(cfg.Cache)
	if mirror == 0 {
		mirror = -1
	}
	if db.Store, err = store.Open(ctx, store.Options{DSN: service, Mirror: mirror}); err != nil {
		return nil, exitcode.With(exitcode.Inspection, err)
	}
	return db, nil
}

// connections are those of the owner of the tables and of the service.
func (db *database) connections(ctx context.Context, root hostfs.Root, cfg config.MemoryDatabase, log func(string)) (owner, service string, err error) {
	if !cfg.Private() {
		dsn, err := daemon.DSN(root, cfg)
		return dsn, dsn, err
	}
	as, err := unprivileged()
	if err != nil {
		return "", "", err
	}
	db.private, err = cluster.Start(ctx, cluster.Config{
		Dir: root.Path(cfg.Directory), Binaries: cfg.Programs, Root: root, Credential: as, Log: log,
		SharedBuffers: cfg.SharedBuffers.Bytes(),
	})
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w; run it as a user who may write there, through systemctl start dubnium-memory-api, or with --directory", err)
		}
		return "", "", exitcode.With(exitcode.Inspection, err)
	}
	return db.private.DSN(cluster.Owner), db.private.DSN(cluster.Service), nil
}

// unprivileged is the user that Postgres runs as, since it refuses root; nil is
// the one that we are.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(memoryUser)
	if err != nil {
		return nil, exitcode.Errorf(exitcode.NotPermitted, "run the private database: Postgres refuses root, and there is no user %s for it: start it through systemctl start dubnium-memory-api, or as an ordinary user with --directory", memoryUser)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the id of the user %s: %w", memoryUser, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the group of the user %s: %w", memoryUser, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// ended is closed when a private database has ended.
func (db *database) ended() <-chan struct{} {
	if db.private == nil {
		return nil
	}
	return db.private.Done()
}

func (db *database) close() error {
	if db.Store != nil {
		db.Store.Close()
	}
	if db.private != nil {
		return db.private.Stop()
	}
	return nil
}
