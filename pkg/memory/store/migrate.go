package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema. Once it has landed it is never changed.
type migration struct {
	version   int
	name, sql string
}

var migrations = sync.OnceValue(func() []migration {
	all, err := readMigrations(migrationFiles, "migrations")
	if err != nil {
		panic(err) // embedded
	}
	return all
})

func latestMigration() int { return migrations()[len(migrations())-1].version }

// readMigrations reads the files NNNN_name.sql of a folder, which are numbered
// from 1 without a gap.
func readMigrations(files fs.FS, dir string) ([]migration, error) {
	var all []migration
	for name, sql := range texts(files, dir) {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number: call it NNNN_name.sql", name)
		}
		all = append(all, migration{version, name, sql})
	}
	slices.SortFunc(all, func(a, b migration) int { return a.version - b.version })
	for i, m := range all {
		if m.version != i+1 {
			return nil, fmt.Errorf("migration %s is where number %d should be", m.name, i+1)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no migration")
	}
	return all, nil
}

// Migrate brings the database's schema up to date, as the owner of its tables.
// Each step is a transaction; an advisory lock keeps two programs from
// migrating at once, and what is done already is left alone. A database that is
// newer than the program is refused.
func Migrate(ctx context.Context, dsn string) error {
	return migrate(ctx, dsn, migrations())
}

func migrate(ctx context.Context, dsn string, all []migration) error {
	// The DSN is that of a pool.
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return failed(err, "read the database's connection string")
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return failed(err, "migrate the database")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, query("PrepareMigrations")); err != nil {
		return failed(err, "migrate the database")
	}
	for _, m := range all {
		if err := step(ctx, conn, m, all[len(all)-1].version); err != nil {
			return failed(err, "migrate the database: step %s", m.name)
		}
	}
	_, err = conn.Exec(ctx, query("AllowRole"))
	return failed(err, "migrate the database")
}

// step makes one migration, unless it was made.
func step(ctx context.Context, conn *pgx.Conn, m migration, latest int) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Held to the end of the transaction, so whoever waits sees what was done.
		if _, err := tx.Exec(ctx, query("LockMigrations")); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRow(ctx, query("SchemaVersion")).Scan(&version); err != nil {
			return err
		}
		switch {
		case version > latest:
			return fmt.Errorf("the schema is version %d, and this program knows %d: install the program that fits", version, latest)
		case version >= m.version:
			return nil
		case version != m.version-1:
			return fmt.Errorf("the schema is version %d: step %d is missing", version, m.version-1)
		}
		// Without arguments several statements are one message.
		if _, err := tx.Exec(ctx, m.sql); err != nil {
			return hint(err)
		}
		_, err := tx.Exec(ctx, query("RecordMigration"), m.version, m.name)
		return err
	})
}

// hint says what an administrator has to do where the owner may not.
func hint(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == "58P01" || pg.Code == "0A000":
		return fmt.Errorf("%w: install pgvector for this Postgres (Debian: postgresql-N-pgvector, Fedora: pgvector)", err)
	case pg.Code == insufficientRights:
		return fmt.Errorf("%w: have a superuser run in this database: CREATE EXTENSION vector; CREATE ROLE %s NOINHERIT; CREATE ROLE %s; GRANT %[3]s TO %[2]s; and GRANT %[2]s to the login", err, Role, upkeepRole)
	}
	return err
}
