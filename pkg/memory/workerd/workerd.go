// Package workerd is the program embed-worker: its grammar, and what it
// connects.
package workerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory/cluster"
	"github.com/ryjen/dubnium/pkg/memory/daemon"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/store"
	"github.com/ryjen/dubnium/pkg/memory/worker"
)

// streamPrefix begins the names of our keys in Redis.
const streamPrefix = "dubnium"

type model struct {
	cli.Flags `embed:""`
	Name      string `name:"name" placeholder:"NAME" help:"The worker's name, which no other one has (default the host's name and the process id)."`
	Metrics   string `name:"metrics" placeholder:"ADDRESS" help:"Answer GET /metrics on ADDRESS of this machine, such as 127.0.0.1:8092 (default memory.embeddings.metrics)."`
}

// Program is embed-worker.
func Program() cli.Program {
	m := &model{}
	return cli.Program{
		Name:    "embed-worker",
		Summary: "turn stored memories into vectors",
		Manual: `Takes what is to be embedded from a Redis stream, asks the embedding provider, and writes the vectors. Several workers, on several machines, share one stream. Without Redis, or when it is gone, they take the work from the database.

Nothing is lost when a worker, Redis or the database is killed, and nothing is embedded twice: the list of what is to be done is in the database, and a memory is done when its vector and the end of its entry were committed together.

A provider that does not answer is asked again after a while, and no memory is blamed for it. A memory that the provider can't embed is found, tried again, and then given up: ai-memory queue dead lists those, with the reason, and ai-memory queue retry tries them again.

With memory.embeddings.metrics or --metrics it answers GET /metrics (Prometheus) on this machine.`,
		Model: m,
		Run:   m.run,
		Codes: []exitcode.Code{exitcode.Inspection},
		Examples: []cli.Example{
			{Command: "systemctl enable --now dubnium-embed-worker", Help: "Embed from now on."},
			{Command: "ai-memory queue", Help: "How much there is to do."},
		},
		Files:   []cli.File{{Path: cli.DefaultConfig, Help: "The configuration, section [memory]."}},
		SeeAlso: []string{"memory-api(8)", "ai-memory(1)"},
		Section: 8,
	}
}

func (m *model) run(ctx context.Context, env *cli.Env) error {
	whole, err := config.Load(env.Root, env.Config)
	if err != nil {
		return err
	}
	cfg, log := whole.Memory, daemon.Log(env.Stderr)
	embedders, err := embed.Configured(env.Root, cfg.Embeddings)
	if err != nil {
		return exitcode.With(exitcode.Config, err)
	}
	if len(embedders) == 0 {
		return exitcode.Errorf(exitcode.Config, "memory.embeddings.provider is none: there is nothing to do")
	}
	dsn := cluster.Config{Dir: env.Root.Path(cfg.Database.Directory)}.URL(cluster.Service, cluster.Database)
	if !cfg.Database.Private() {
		if dsn, err = daemon.DSN(env.Root, cfg.Database); err != nil {
			return err
		}
	}
	db, err := store.Open(ctx, store.Options{DSN: dsn})
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	defer db.Close()
	var stream *worker.Stream
	if cfg.Redis.URL != "" {
		if stream, err = worker.NewStream(cfg.Redis.URL, streamPrefix); err != nil {
			return exitcode.With(exitcode.Config, err)
		}
		defer stream.Close()
	}
	w, err := worker.New(db, embedders, stream, worker.Options{
		Name: m.name(), Batch: cfg.Embeddings.Batch, Concurrency: cfg.Embeddings.Concurrency, Log: log,
	})
	if err != nil {
		return err
	}

	var scraped net.Listener
	if address := cmp.Or(m.Metrics, cfg.Embeddings.Metrics); address != "" {
		if scraped, err = listenMetrics(address); err != nil {
			return exitcode.With(exitcode.Inspection, err)
		}
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	beside := make(chan error, 2)
	begin := func(f func() error) {
		go func() {
			err := f()
			if err != nil {
				cancel(err)
			}
			beside <- err
		}()
	}
	begin(func() error { return daemon.Watchdog(ctx) })
	begin(func() error {
		if scraped == nil {
			return nil
		}
		return serveMetrics(ctx, scraped, w.WriteMetrics)
	})
	daemon.Ready(log)
	err = w.Run(ctx)
	daemon.Stopping(log)
	cancel(nil)
	if beside := errors.Join(<-beside, <-beside); beside != nil {
		return exitcode.With(exitcode.Inspection, beside)
	}
	if err != nil && ctx.Err() == nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	return nil
}

// name tells this worker from all others.
func (m *model) name() string {
	if m.Name != "" {
		return m.Name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}
