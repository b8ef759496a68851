// Command report reads the output of go test -json and prints what a person
// needs of it: a line for each package, in full what failed, the tests that
// were skipped and why, the slowest ones, and a closing line with the counts.
//
//	go test -json ./... | report SKIPS
//
// SKIPS is a file that names the tests that may be skipped, one a line:
//
//	tests/machine TestName: the reason why it may
//
// It exits 1 when a test failed, when one was skipped that SKIPS doesn't name,
// or when no test ran.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "report: usage: go test -json ./... | report SKIPS")
		os.Exit(1)
	}
	ok, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(skips string) (ok bool, err error) {
	text, err := os.ReadFile(skips)
	if err != nil {
		return false, err
	}
	allowed, err := parseSkips(string(text))
	if err != nil {
		return false, fmt.Errorf("%s: %w", skips, err)
	}
	r := newReport(os.Stdout)
	if err := r.read(os.Stdin); err != nil {
		return false, fmt.Errorf("read the output of go test: %w", err)
	}
	return r.finish(allowed), nil
}
