package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Database is the name of the database that [SetUp] makes, and Login the role
// that owns it: that of the operating system's user of the same name, whom
// Postgres knows by its socket (peer authentication).
const (
	Database = "dubnium_memory"
	Login    = "dubnium-memory"
)

// SetUp makes the roles, the database and the extension on a server that
// somebody else runs, as its superuser. What is there already is left alone.
func SetUp(ctx context.Context, superuser string) error {
	config, err := pgx.ParseConfig(superuser)
	if err != nil {
		return failed(err, "read the superuser's connection string")
	}
	if err := setUpServer(ctx, config); err != nil {
		return failed(err, "set the database up")
	}
	config = config.Copy()
	config.Database = Database
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return failed(err, "set the database up")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, query("MakeExtension"))
	return failed(hint(err), "set the database up")
}

func setUpServer(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, query("SetUpRoles")); err != nil {
		return err
	}
	var exists bool
	if err := conn.QueryRow(ctx, query("DatabaseExists")).Scan(&exists); err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, query("MakeDatabase"))
	return err
}
