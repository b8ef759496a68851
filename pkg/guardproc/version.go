package guardproc

import (
	"context"
	"fmt"
	"strings"
)

// Version asks a program of ours which version it is, within ctx: the line that
// --version prints, without the program's name.
func Version(ctx context.Context, path string) (string, error) {
	p, err := launch([]string{path, "--version"})
	if err != nil {
		return "", fmt.Errorf("run %s: %w", path, err)
	}
	defer p.abandon()
	if !p.wait(ctx) || !p.complete(ctx) {
		return "", fmt.Errorf("%s --version did not answer: %w", path, context.DeadlineExceeded)
	}
	line, _, _ := strings.Cut(string(p.out.data), "\n")
	name, version, found := strings.Cut(line, " ")
	if !p.cmd.ProcessState.Success() || !found {
		return "", fmt.Errorf("%s --version: %v, and it said %q", path, p.cmd.ProcessState, name)
	}
	return version, nil
}
