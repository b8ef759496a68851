// Package apid is the program memory-api: its grammar, its sockets and its
// database, and how it starts and ends.
package apid

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory/store"
)

type model struct {
	cli.Flags `embed:""`
	Serve     serveCmd `cmd:"" default:"withargs" help:"Answer requests until told to stop (the default)."`
	SetUp     setUpCmd `cmd:"" name:"set-up-database" help:"Make the role, the database and the extension on a Postgres of this machine, as its superuser."`
}

// Program is memory-api.
func Program() cli.Program {
	return cli.Program{
		Name:    "memory-api",
		Summary: "serve memories to AI agents, over a unix socket and HTTP on this machine",
		Manual: `Stores, finds, reviews and audits memories. It returns candidates with their evidence, and never a prompt; what enters a prompt is decided elsewhere.

Without a database in the configuration it runs a Postgres server of its own, from this machine's programs, in its own folder, which nobody else can reach; it needs the extension vector (pgvector). With memory.database.dsn or dsnFile it uses that database, and brings its tables up to date at the start.

It listens on the sockets that systemd passes to it, else on memory.api.socket and on memory.api.port of this machine. A socket of the network is refused.

With the embedder "builtin" and without Redis it embeds memories itself; else embed-worker does.

Started by systemd it tells when it is ready, keeps the watchdog informed, and when it is stopped it finishes the requests under way. GET /healthz says that it runs, /readyz whether it can carry out requests and what is missing, /metrics how it does (Prometheus), and /openapi.json what can be asked.`,
		Model: &model{},
		Codes: []exitcode.Code{exitcode.Inspection, exitcode.NotPermitted},
		Examples: []cli.Example{
			{Command: "systemctl enable --now dubnium-memory-api", Help: "Serve from now on."},
			{Command: "memory-api --directory ~/.local/share/memory", Help: "A memory of your own, with its database, artifacts and socket in one folder."},
			{Command: "curl --unix-socket /run/dubnium-memory/api.sock http://memory/readyz", Help: "Ask whether all is there."},
		},
		Files: []cli.File{
			{Path: cli.DefaultConfig, Help: "The configuration, section [memory]."},
			{Path: config.Default().Memory.API.Socket, Help: "The socket, for members of the group " + config.OperatorsGroup + "."},
			{Path: config.MemoryDirectory, Help: "The private database and the artifacts."},
		},
		SeeAlso: []string{"ai-memory(1)", "embed-worker(8)", "memory-mcp(1)"},
		Section: 8,
	}
}

// settings reads the configuration, with everything in one folder where a
// person asks for that.
func settings(env *cli.Env, directory string) (config.Memory, error) {
	cfg, err := config.Load(env.Root, env.Config)
	if err != nil {
		return config.Memory{}, err
	}
	m := cfg.Memory
	if directory == "" {
		return m, nil
	}
	dir, err := filepath.Abs(directory)
	if err != nil {
		return m, exitcode.Errorf(exitcode.Usage, "--directory: %w", err)
	}
	m.API.Socket = filepath.Join(dir, "api.sock")
	m.API.Port = 0
	m.Database.DSN, m.Database.DSNFile = "", ""
	m.Database.Directory = filepath.Join(dir, "postgres")
	m.Artifacts.Directory = filepath.Join(dir, "artifacts")
	return m, nil
}

type setUpCmd struct {
	Superuser string `name:"superuser" default:"host=/run/postgresql dbname=postgres" placeholder:"DSN" help:"How the superuser connects (default ${default})."`
}

// setUpWithin bounds the set-up.
const setUpWithin = 2 * time.Minute

// Run makes what the service needs of a Postgres that is not its own.
func (c *setUpCmd) Run(ctx context.Context, env *cli.Env) error {
	ctx, cancel := context.WithTimeout(ctx, setUpWithin)
	defer cancel()
	if err := store.SetUp(ctx, c.Superuser); err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	_, err := fmt.Fprintf(env.Stdout, "the database %s is there\n", store.Database)
	return err
}
