// Command vllm stands in for the vLLM server in tests: the same command line, the same HTTP shapes,
// no model.
//
//	vllm serve MODEL --host 127.0.0.1 --port 8000 [any other flag]
//
// /health, /v1/models, /metrics and /v1/completions answer as vLLM's do; the model is loaded when
// load_ms are over, and a completion takes hold_ms. SIGTERM stops taking requests, lets those in
// flight end and exits 0.
//
// What goes wrong is told by /etc/dubnium-fake-vllm.json (another path in DUBNIUM_FAKE_VLLM): see
// the fields of behaviour.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stderr))
}

// exitUsage is what Python's argparse exits with.
const exitUsage = 2

func run(ctx context.Context, args []string, getenv func(string) string, log *os.File) int {
	b, err := readBehaviour(getenv)
	if err != nil {
		fmt.Fprintln(log, "vllm stand-in:", err)
		return exitUsage
	}
	if len(args) == 1 && args[0] == engineArg {
		return engine(ctx, b)
	}
	opts, err := parseArgs(args)
	if err != nil {
		fmt.Fprintln(log, "vllm stand-in:", err)
		return exitUsage
	}
	if b.ExitCodeAtStart != 0 {
		fmt.Fprintln(log, "RuntimeError: Engine core initialization failed. See root cause above.")
		return b.ExitCodeAtStart
	}
	if err := serve(ctx, opts, b); err != nil {
		fmt.Fprintln(log, "vllm stand-in:", err)
		return 1
	}
	return 0
}
