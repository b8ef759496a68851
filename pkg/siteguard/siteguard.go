// Package siteguard finds the guards that a site brings itself: executables in
// a folder a target, which keep the contract of guards and run beside the
// built-in ones.
//
// A guard is started with --target=MODE and --timeout=DURATION and nothing on
// its stdin; it blocks with any code from 10 to 19, and is hard unless its line
// says "hard": false.
//
// They run as root, so who may write them may do everything: a file that
// anybody but root could have written is not run and not passed over either,
// but counts as a check that could not be carried out.
package siteguard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guardproc"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Unusable is the reason of a result that stands for a site guard that is not
// run.
const Unusable = "guard-unusable"

// maxGuards bounds how many guards a target may have: they all run at once.
const maxGuards = 64

// Commands gives the site's guards for a target, by name, and the results of
// those that can't be run, each an inspection error that says why. A folder
// that does not exist holds none. Names that begin with a dot are passed over:
// editors and package managers leave such files.
func Commands(root hostfs.Root, cfg config.Config, target mode.Mode) ([]guardproc.Command, []guard.Result) {
	dir := path.Join(cfg.Guards.SiteDirectory, string(target))
	refuse := func(name string, err error) guard.Result { return refused(name, target, err) }
	names, err := root.ReadDirNames(dir)
	if hostfs.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, []guard.Result{refuse(dir, fmt.Errorf("look for the site's guards: %w", err))}
	}
	if err := trusted(root, dir); err != nil {
		return nil, []guard.Result{refuse(dir, fmt.Errorf("look for the site's guards: %w", err))}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, ".") })
	if len(names) > maxGuards {
		return nil, []guard.Result{refuse(dir, fmt.Errorf("%s holds %d guards, and no more than %d are run", dir, len(names), maxGuards))}
	}
	var commands []guardproc.Command
	var results []guard.Result
	for _, name := range names {
		file := path.Join(dir, name)
		if err := runnable(root, file); err != nil {
			results = append(results, refuse(name, err))
			continue
		}
		commands = append(commands, guardproc.Command{
			Name: name, Argv: []string{root.Path(file), "--target=" + string(target), "--timeout=" + cfg.Timeouts.Guard.Std().String()},
			Code: exitcode.Inspection, Hard: true, Site: true,
		})
	}
	return commands, results
}

// runnable tells why a file is no guard, nil when it is one.
func runnable(root hostfs.Root, file string) error {
	info, err := os.Lstat(root.Path(file))
	_, builtIn := guards.Find(path.Base(file))
	switch {
	case err != nil:
		return err
	case builtIn:
		return fmt.Errorf("%s has the name of a guard of Dubnium's own; rename it", file)
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link; copy the guard there", file)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", file)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable; chmod 755 it, or move it elsewhere", file)
	}
	return ownedByRoot(file, info)
}

// trusted tells why others than root can put files into a folder, nil when
// they can't: every folder on the way to it counts, links followed.
func trusted(root hostfs.Root, dir string) error {
	real, err := filepath.EvalSymlinks(root.Path(dir))
	if err != nil {
		return err
	}
	for top := root.Path("/"); real != top && real != "/"; real = filepath.Dir(real) {
		info, err := os.Stat(real)
		if err != nil {
			return err
		}
		if err := ownedByRoot(real, info); err != nil {
			return err
		}
	}
	return nil
}

func ownedByRoot(name string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return errors.New(name + " has no owner")
	case stat.Uid != 0:
		return fmt.Errorf("%s belongs to uid %d; root has to own it, because it runs as root: chown root it", name, stat.Uid)
	case info.Mode()&0o022 != 0:
		return fmt.Errorf("%s can be written by others than root (mode %04o): chmod go-w it", name, info.Mode().Perm())
	}
	return nil
}

func refused(name string, target mode.Mode, err error) guard.Result {
	return guard.Result{
		Guard: name, Class: guard.Error, Code: exitcode.Inspection, Hard: true, Reason: Unusable,
		Message: err.Error(), Evidence: json.RawMessage("{}"), Target: target,
		Timestamp: time.Now().UTC().Format(guard.TimeFormat),
	}
}
