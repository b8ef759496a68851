package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Oldest is the oldest major version that the memory service runs on.
const Oldest = 15

// Binaries are the programs of one Postgres.
type Binaries struct {
	// Dir holds postgres and initdb.
	Dir string
	// Major is the version that postgres itself tells.
	Major int
	// Vector tells whether the extension was seen beside them. A Postgres with
	// an unusual layout may have it and not show it.
	Vector bool
}

func (b Binaries) program(name string) string { return filepath.Join(b.Dir, name) }

// places are where the systems keep Postgres: Debian, PGDG on Fedora, Fedora
// and Arch, NixOS, and what people build themselves.
var places = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/bin",
	"/usr/lib64/pgsql/bin",
	"/run/current-system/sw/bin",
	"/usr/local/pgsql/bin",
	"/usr/local/bin",
}

// Find lists the Postgres installations of the system, those with pgvector
// first, newer ones before older ones. path is a list of folders, as $PATH is.
func Find(ctx context.Context, root hostfs.Root, path string) []Binaries {
	var dirs []string
	for _, place := range places {
		found, _ := filepath.Glob(root.Path(place)) // the patterns are well-formed
		dirs = append(dirs, found...)
	}
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, root.Path(dir))
		}
	}
	var all []Binaries
	seen := map[string]bool{}
	for _, dir := range dirs {
		// Distributions link the same program from several folders.
		real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || seen[real] {
			continue
		}
		seen[real] = true
		if b, err := look(ctx, dir); err == nil {
			all = append(all, b)
		}
	}
	slices.SortStableFunc(all, func(a, b Binaries) int {
		if a.Vector != b.Vector {
			if a.Vector {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Major, a.Major)
	})
	return all
}

// askTimeout bounds the question for a version.
const askTimeout = 5 * time.Second

// look asks the programs of a folder for their version.
func look(ctx context.Context, dir string) (Binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return Binaries{}, err
		} else if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return Binaries{}, fmt.Errorf("%s is no program", filepath.Join(dir, name))
		}
	}
	out, err := output(ctx, askTimeout, filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return Binaries{}, err
	}
	major, err := parseVersion(out)
	if err != nil {
		return Binaries{}, fmt.Errorf("ask %s for its version: %w", filepath.Join(dir, "postgres"), err)
	}
	return Binaries{Dir: dir, Major: major, Vector: seesVector(dir, major)}, nil
}

var version = regexp.MustCompile(`^postgres \(PostgreSQL\) ([0-9]{1,3})`)

// parseVersion reads the answer to postgres --version.
func parseVersion(out []byte) (int, error) {
	m := version.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%.80q is no answer of Postgres", out)
	}
	return strconv.Atoi(string(m[1]))
}

// seesVector looks for the extension's control file where the layouts of the
// distributions have it, seen from the folder of the programs.
func seesVector(dir string, major int) bool {
	if real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
		dir = filepath.Dir(real)
	}
	for _, share := range []string{
		"../../../../share/postgresql/" + strconv.Itoa(major), // Debian
		"../share/postgresql", // NixOS, Arch, from source
		"../share/pgsql",      // Fedora
		"../share",            // PGDG on Fedora
	} {
		if _, err := os.Stat(filepath.Join(dir, share, "extension", "vector.control")); err == nil {
			return true
		}
	}
	return false
}

// choose picks the programs for the data folder: the configured ones, else
// those that made it, else the best.
func (c Config) choose(ctx context.Context) (Binaries, error) {
	made, err := c.madeBy()
	if err != nil {
		return Binaries{}, err
	}
	var bin Binaries
	if c.Binaries != "" {
		if bin, err = look(ctx, c.Binaries); err != nil {
			return Binaries{}, fmt.Errorf("%w in %s: %w", ErrNoPostgres, c.Binaries, err)
		}
	} else {
		all := Find(ctx, c.Root, os.Getenv("PATH"))
		if len(all) == 0 {
			return Binaries{}, fmt.Errorf("%w in %v and on PATH: install it (Debian: postgresql and postgresql-N-pgvector, Fedora: postgresql-server and pgvector, NixOS: postgresql.withPackages (p: [ p.pgvector ])), or configure where it is", ErrNoPostgres, places)
		}
		bin = all[0]
		for _, b := range all {
			if b.Major == made {
				bin = b
				break
			}
		}
	}
	switch {
	case made != 0 && made != bin.Major:
		return Binaries{}, fmt.Errorf("%w: %s was made by %d, and %s has %d: install Postgres %d again, or move the data with pg_upgrade", ErrVersion, c.data(), made, bin.Dir, bin.Major, made)
	case bin.Major < Oldest:
		return Binaries{}, fmt.Errorf("%w: %s has %d, and %d is the oldest that will do", ErrNoPostgres, bin.Dir, bin.Major, Oldest)
	}
	return bin, ctx.Err()
}

// noVector names the package that lacks.
func noVector(bin Binaries) error {
	return fmt.Errorf("%w (%d in %s): install it (Debian 13, and the packages that PostgreSQL itself gives out for older ones: postgresql-%d-pgvector, Fedora: pgvector, NixOS: postgresql.withPackages (p: [ p.pgvector ]))", ErrNoVector, bin.Major, bin.Dir, bin.Major)
}

var errNotOurs = errors.New("not a postmaster of this folder")
