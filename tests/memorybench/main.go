// Command memorybench measures memory-api at sizes that people reach, next to
// the same questions asked by hand and through a peer.
//
//	make bench-memory-scale
//	go run ./tests/memorybench --sizes 1000,100000,1000000 --span 10s
//
// For each size it makes a database of its own, fills it by COPY with made-up
// memories whose words are as frequent as a language's (half of them in one
// scope, the others in scopes of 500), and asks 100 questions of each kind of
// scope, in turns, with 1, 8 and 32 clients:
//
//	by hand     pgbench, the query that a person would write for 400 candidates
//	candidates  the store in this process: the same question, by words alone
//	memory-api  POST /memory/retrieve, over a unix socket as the peer's: vectors, order and event too
//	peer        FastAPI and psycopg, the query by hand for ten memories
//	peer+event  the same with an event, as memory-api records one
//	peer 400    the peer with the query by hand as it stands, of which it returns ten
//
// Times are in milliseconds, of what a client waits for. Figures of one run may
// be compared with each other, on a loaded machine too; those of different runs
// may not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what the flags say.
type options struct {
	sizes, clients []int
	span           time.Duration
	peer, vectors  bool
	workers        int
	keep           string
}

func main() {
	var o options
	sizes := flag.String("sizes", "1000,100000", "how many memories the databases hold, separated by commas")
	clients := flag.String("clients", "1,8,32", "how many clients ask at once, separated by commas")
	flag.DurationVar(&o.span, "span", 5*time.Second, "how long each measurement takes")
	flag.BoolVar(&o.peer, "peer", true, "measure the peer, which needs Debian's FastAPI, uvicorn and psycopg")
	flag.BoolVar(&o.vectors, "vectors", true, "give the memories vectors of the built-in embedder")
	flag.IntVar(&o.workers, "workers", 2, "processes of the peer, and connections that fill the database")
	flag.StringVar(&o.keep, "keep", "", "an empty folder for the databases, which stay there and are not filled again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := func() (err error) {
		if o.sizes, err = numbers(*sizes); err != nil {
			return fmt.Errorf("--sizes: %w", err)
		}
		if o.clients, err = numbers(*clients); err != nil {
			return fmt.Errorf("--clients: %w", err)
		}
		return run(ctx, o, os.Stdout)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "memorybench:", err)
		os.Exit(1)
	}
}

// numbers reads numbers that commas separate.
func numbers(list string) ([]int, error) {
	var all []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > 100_000_000 {
			return nil, fmt.Errorf("%q is no number from 1 on: write 1000,100000", text)
		}
		all = append(all, n)
	}
	return all, nil
}

func run(ctx context.Context, o options, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "memorybench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	databases := dir
	if o.keep != "" {
		if databases, err = filepath.Abs(o.keep); err != nil {
			return err
		}
	}
	// The database's user has to pass.
	if err := errors.Join(os.MkdirAll(databases, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return err
	}
	program := filepath.Join(dir, "memory-api")
	if err := build(ctx, program); err != nil {
		return err
	}
	for _, size := range o.sizes {
		s := scale{options: o, size: size, program: program, dir: filepath.Join(databases, strconv.Itoa(size)), out: w}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("with %d memories: %w", size, err)
		}
	}
	return nil
}
