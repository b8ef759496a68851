package apid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/memory/daemon"
	"github.com/ryjen/dubnium/pkg/memory/embed"
	"github.com/ryjen/dubnium/pkg/memory/httpapi"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
	"github.com/ryjen/dubnium/pkg/memory/service"
	"github.com/ryjen/dubnium/pkg/memory/worker"
	"github.com/ryjen/dubnium/pkg/version"
)

// Bounds of the server; those of single requests are httpapi's.
const (
	headersWithin = 10 * time.Second
	idleWithin    = 2 * time.Minute
	// finishWithin is for the requests that are under way at the end.
	finishWithin = 15 * time.Second
	// upkeepEvery is how often statistics are brought up to date, and what is
	// old is removed.
	upkeepEvery  = time.Minute
	upkeepWithin = 10 * time.Minute
)

type serveCmd struct {
	Directory string `name:"directory" placeholder:"DIR" help:"Keep the database, the artifacts and the socket in DIR, whatever the configuration says, and open no port."`
}

// Run serves until the context ends.
func (c *serveCmd) Run(ctx context.Context, env *cli.Env) error {
	cfg, err := settings(env, c.Directory)
	if err != nil {
		return err
	}
	if c.Directory != "" {
		if err := os.MkdirAll(c.Directory, 0o700); err != nil {
			return exitcode.With(exitcode.Usage, err)
		}
	}
	s := &server{env: env, cfg: cfg, log: daemon.Log(env.Stderr), meters: httpapi.NewMeters()}
	return s.run(ctx)
}

// server is one run of the service.
type server struct {
	env    *cli.Env
	cfg    config.Memory
	log    *slog.Logger
	meters *httpapi.Meters
}

func (s *server) run(ctx context.Context) (err error) {
	// The sockets come first: whoever connects while the database starts, waits.
	listeners, err := listen(s.cfg.API)
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	defer func() { err = errors.Join(err, ignoreClosed(closeAll(listeners))) }()

	db, err := open(ctx, s.env.Root, s.cfg.Database, s.postgres)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()

	embedders, err := embed.Configured(s.env.Root, s.cfg.Embeddings)
	if err != nil {
		return exitcode.With(exitcode.Config, err)
	}
	handler, err := s.handler(ctx, db, embedders)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 8)
	background := 0
	begin := func(what string, f func(context.Context) error) {
		background++
		go func() {
			err := f(ctx)
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("%s: %w", what, err)
				cancel(err)
			} else {
				err = nil
			}
			ended <- err
		}()
	}
	begin("upkeep", func(ctx context.Context) error { return s.upkeep(ctx, db) })
	begin("watchdog", daemon.Watchdog)
	if len(embedders) > 0 && s.ownWorker() {
		w, err := worker.New(db.Store, embedders, nil, worker.Options{
			Name: fmt.Sprintf("memory-api-%d", os.Getpid()), Batch: s.cfg.Embeddings.Batch, Concurrency: s.cfg.Embeddings.Concurrency, Log: s.log,
		})
		if err != nil {
			return err
		}
		s.meters.Set().RegisterMetricsWriter(w.WriteMetrics)
		begin("embed memories", w.Run)
	}
	begin("the private database", func(ctx context.Context) error {
		select {
		case <-db.ended():
			return db.private.Err()
		case <-ctx.Done():
			return nil
		}
	})

	err = s.answer(ctx, listeners, handler)
	cancel(err)
	for range background {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	return nil
}

// postgres logs what the private database says.
func (s *server) postgres(line string) {
	if strings.TrimSpace(line) != "" { // initdb sets its words apart
		s.log.Info("postgres", "says", line)
	}
}

// ownWorker tells whether we embed ourselves.
func (s *server) ownWorker() bool {
	return s.cfg.Embeddings.Provider == config.EmbedderBuiltin && s.cfg.Redis.URL == ""
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// handler is the API over the database. Without an embedder words alone decide.
func (s *server) handler(ctx context.Context, db *database, embedders []embed.Embedder) (http.Handler, error) {
	if len(embedders) > 0 {
		if err := register(ctx, db, s.cfg.Embeddings, embedders[0]); err != nil {
			return nil, exitcode.With(exitcode.Inspection, err)
		}
	}
	artifacts, err := service.NewFolder(s.env.Root.Path(s.cfg.Artifacts.Directory), int64(s.cfg.Artifacts.MaxSize))
	if err != nil {
		return nil, exitcode.With(exitcode.Inspection, err)
	}
	core, err := service.New(db.Store, artifacts, service.Options{
		Embedders:  embedders,
		DefaultTTL: days(s.cfg.Retention.DefaultTTLDays), WorkingTTL: days(s.cfg.Retention.WorkingTTLDays),
		Observe: s.meters.Retrieval,
	})
	if err != nil {
		return nil, err
	}
	return httpapi.New(core, httpapi.Options{
		Log: s.log, Meters: s.meters, Version: version.String(), MaxUpload: int64(s.cfg.Artifacts.MaxSize),
	}), nil
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// Shares of a model's similarity in the score. The built-in one's was measured;
// a sentence model's own recall is near that of the words (see docs/memory.md).
const (
	builtinWeight = 0.2
	modelWeight   = 0.5
)

// register makes sure that the embedder's model has its table. The first model
// of all is used at once; another one is built beside it, until somebody says
// ai-memory models activate.
func register(ctx context.Context, db *database, cfg config.MemoryEmbeddings, e embed.Embedder) error {
	m := outbox.Model{Name: e.Model(), Provider: string(cfg.Provider), Dimensions: e.Dimensions(), Weight: builtinWeight, State: outbox.Building}
	if cfg.Provider == config.EmbedderOpenAI {
		preset := embed.PresetFor(cfg)
		m.QueryPrefix, m.DocumentPrefix, m.Weight = preset.QueryPrefix, preset.DocumentPrefix, modelWeight
	}
	m, err := db.EnsureModel(ctx, m)
	if err != nil {
		return err
	}
	all, err := db.Models(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(other outbox.Model) bool { return other.State == outbox.Active }) {
		return nil
	}
	return db.ActivateModel(ctx, m.ID)
}

// upkeep brings statistics up to date and removes what is old, now and then.
func (s *server) upkeep(ctx context.Context, db *database) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	var retainedAt time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, upkeepWithin)
		err := db.Upkeep(within)
		if now := time.Now(); err == nil && now.Sub(retainedAt) >= retainEvery {
			if err = retain(within, db, s.cfg.Retention, now); err == nil {
				retainedAt = now
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("upkeep is tried again in a while", "error", err)
		}
		cancel()
	}
}

// answer serves on all listeners until the context ends, and then finishes what
// is under way.
func (s *server) answer(ctx context.Context, listeners []net.Listener, handler http.Handler) error {
	web := &http.Server{
		Handler: handler, ConnContext: withCaller(s.env.Root),
		ReadHeaderTimeout: headersWithin, IdleTimeout: idleWithin,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- web.Serve(l) }()
		s.log.Info("listening", "on", l.Addr().String())
	}
	daemon.Ready(s.log)
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
			s.log.Info("stopping", "because", cause)
		}
	}
	daemon.Stopping(s.log)
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	if shut := web.Shutdown(finish); shut != nil {
		s.log.Warn("some requests were cut off", "after", finishWithin)
		_ = web.Close()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
