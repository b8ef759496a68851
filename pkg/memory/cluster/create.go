package cluster

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Postgres reads these in its single-user mode, a line a statement.
var (
	//go:embed roles.sql
	rolesSQL string
	//go:embed extension.sql
	extensionSQL string
)

// unfinished starts the name of a data folder that is being made.
const unfinished = ".data."

// make creates the data folder where there is none. It is made under another
// name and renamed when all of it, roles and database included, is on the disk:
// whatever interrupts that, the next start makes it anew.
func (c Config) make(ctx context.Context, bin Binaries) error {
	left, err := filepath.Glob(filepath.Join(c.Dir, unfinished+"*"))
	if err != nil {
		return fmt.Errorf("look for what an interrupted start left: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove what an interrupted start left: %w", err)
		}
	}
	if made, err := c.madeBy(); err != nil || made != 0 {
		return err
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(c.Dir, &s); err == nil && s.Bavail*uint64(s.Bsize) < minFree {
		return fmt.Errorf("%w: a new database needs %d MiB on the file system of %s, which has %d: make room there", syscall.ENOSPC, minFree>>20, c.Dir, s.Bavail*uint64(s.Bsize)>>20)
	}
	fresh, err := os.MkdirTemp(c.Dir, unfinished)
	if err != nil {
		return err
	}
	c.Log(fmt.Sprintf("Postgres %d of %s makes a new database in %s", bin.Major, bin.Dir, c.Dir))
	if err := c.fill(ctx, bin, fresh); err != nil {
		return errors.Join(fmt.Errorf("make a new database: %w", c.full(err)), os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, c.data()); err != nil {
		return fmt.Errorf("make a new database: %w", err)
	}
	return syncDir(c.Dir)
}

// syncDir puts the names in a folder on the disk.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (c Config) fill(ctx context.Context, bin Binaries, dir string) error {
	if err := c.folder(dir); err != nil {
		return err
	}
	err := c.finish(ctx, bin.program("initdb"), []string{
		"-D", dir, "-U", Superuser, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions",
	}, "")
	if err != nil {
		return err
	}
	single := func(database, statements string) error {
		args := []string{"--single", "-D", dir, "-c", "exit_on_error=true", "-c", "log_error_verbosity=verbose", "-c", "log_line_prefix=", database}
		return c.finish(ctx, bin.program("postgres"), args, statements)
	}
	if err := single("postgres", rolesSQL); err != nil {
		return err
	}
	err = single(Database, extensionSQL)
	var ended *endedError
	// 58P01 undefined_file, 0A000 feature_not_supported: how versions put that
	// the extension's control file is not there.
	if errors.As(err, &ended) && (strings.Contains(ended.said, "FATAL:  58P01:") || strings.Contains(ended.said, "FATAL:  0A000:")) {
		return noVector(bin)
	}
	return err
}

// finish runs a program to its end. What it prints is told when it fails.
func (c Config) finish(ctx context.Context, program string, args []string, input string) error {
	c.Log = func(string) {}
	p, err := c.run(program, args, strings.NewReader(input))
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(syscall.SIGKILL, 0)
		return fmt.Errorf("%s did not end within %v: %w; it said: %s", filepath.Base(program), c.StartTimeout, ctx.Err(), p.tail())
	}
	return p.err
}
