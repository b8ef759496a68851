// Package programs defines the binaries that are no guards: their grammar,
// their manuals, and what they do with the packages below.
package programs

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/procinfo"
	"github.com/ryjen/dubnium/pkg/reconcile"
	"github.com/ryjen/dubnium/pkg/record"
)

// All lists the programs of this package.
func All() []cli.Program {
	return []cli.Program{Mode(), ObserveCurrent(), Reconcile(), ModeIdle(), Room()}
}

// output is how a command prints: --json, or --format for those who are used
// to it.
type output struct {
	cli.FormatFlag `embed:""`
	JSON           bool `name:"json" help:"Print the result as JSON; short for --format=json."`
}

func (o output) format() cli.Format {
	if o.JSON {
		return cli.JSON
	}
	return o.Format
}

// load reads the configuration that the flags name.
func load(env *cli.Env) (config.Config, error) { return config.Load(env.Root, env.Config) }

// modes is the enumeration of modes for kong's tags.
func modes() map[string]string { return map[string]string{"modes": strings.Join(mode.Names(), ",")} }

// engine reads the configuration and makes the engine that works on this machine as the process that we
// are. Wait lets guards wait for what may end by itself.
func engine(env *cli.Env, wait bool) (*reconcile.Engine, error) {
	cfg, err := load(env)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, exitcode.Errorf(exitcode.Internal, "find the folder of the guards: %w", err)
	}
	boot, err := procinfo.BootID(env.Root)
	if err != nil {
		return nil, exitcode.With(exitcode.Inspection, err)
	}
	machine := &reconcile.Machine{Root: env.Root, Config: cfg, BinDir: filepath.Dir(self), PID: os.Getpid(), Wait: wait}
	if env.ConfigGiven {
		machine.ConfigPath = env.Config
	}
	return &reconcile.Engine{
		Host: machine, Config: cfg, Store: record.Store{Root: env.Root}, Now: time.Now,
		ID: newID(), BootID: boot, InvocationID: env.Getenv("INVOCATION_ID"), PID: os.Getpid(),
	}, nil
}

// newID makes the id of a transition: its time, so that ids sort, and enough
// randomness to tell two apart.
func newID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return time.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:])
}

// ago says how long something is past, roughly, as people say it.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// short writes a duration in milliseconds for people.
func short(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
}
