package main

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
	"time"

	"github.com/ryjen/dubnium/pkg/memory"
)

// byHand measures the hand-written query with pgbench: a connection a client,
// statements prepared, each question a script.
type byHand struct {
	program, dsn, dir string
}

// mostCandidates is what the query of pgbench returns: as many as the service
// orders, with what it needs to order them.
const mostCandidates = 400

// lookupTerms are the words of a memory as the query returns them.
const lookupTerms = ", tsvectorsend(m.tsv)"

// fill writes the values of a query into it.
func fill(name string, values ...string) string {
	return strings.NewReplacer(values...).Replace(query(name))
}

// quoted is a literal of SQL without a colon, after which pgbench would read a
// variable's name.
func quoted(s string) string {
	return "'" + strings.NewReplacer("'", "''", ":", "' || chr(58) || '").Replace(s) + "'"
}

func (b byHand) run(ctx context.Context, clients int, span time.Duration, questions []ask) (figures, error) {
	dir, err := os.MkdirTemp(b.dir, "pgbench")
	if err != nil {
		return figures{}, err
	}
	args := []string{
		"--no-vacuum", "--protocol=prepared", "--client=" + strconv.Itoa(clients), "--jobs=" + strconv.Itoa(min(clients, 2)),
		"--time=" + strconv.Itoa(max(int(span.Seconds()), 1)), "--log", "--log-prefix=" + filepath.Join(dir, "log"),
	}
	for i, q := range questions {
		text := fill("Lookup", "{scope}", quoted(string(q.scope)), "{question}", quoted(q.text), "{terms}", lookupTerms, "{most}", strconv.Itoa(mostCandidates))
		// A line of a script that begins with a dash is a comment of SQL.
		path := filepath.Join(dir, fmt.Sprintf("q%d.sql", i))
		if err := os.WriteFile(path, []byte(strings.TrimSpace(text)+";\n"), 0o600); err != nil {
			return figures{}, err
		}
		args = append(args, "--file="+path)
	}
	// pgbench knows nothing of a client's own warm-up; the server is warm.
	cmd := exec.CommandContext(ctx, b.program, append(args, b.dsn)...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		return figures{}, fmt.Errorf("run pgbench: %w: %s", err, bytes.TrimSpace(said))
	}
	logs, err := filepath.Glob(filepath.Join(dir, "log*"))
	if err != nil {
		return figures{}, err
	}
	var all []time.Duration
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			return figures{}, err
		}
		times, err := parseLog(data)
		if err != nil {
			return figures{}, fmt.Errorf("read pgbench's log %s: %w", filepath.Base(path), err)
		}
		all = append(all, times...)
	}
	return summarise(all, span), os.RemoveAll(dir)
}

// maxLog bounds the log of a run.
const maxLog = 256 << 20

// parseLog reads pgbench's log: lines of client, transaction, microseconds and
// more (pgbench(1), per-transaction logging).
func parseLog(data []byte) ([]time.Duration, error) {
	if len(data) > maxLog {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(data), maxLog)
	}
	var times []time.Duration
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 3 {
			return nil, errors.New("a line has fewer than three fields")
		}
		us, err := strconv.ParseInt(string(fields[2]), 10, 64)
		if err != nil || us < 0 || us > int64(time.Hour/time.Microsecond) {
			return nil, fmt.Errorf("%.20q is no time in microseconds", fields[2])
		}
		times = append(times, time.Duration(us)*time.Microsecond)
	}
	return times, nil
}

// ask is a question to a scope.
type ask struct {
	scope memory.Scope
	text  string
}
