package cli

import (
	"io"
	"time"

	"github.com/alecthomas/kong"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/version"
)

// DefaultConfig is the configuration file, a name below the host's root.
const DefaultConfig = "/etc/dubnium/dubnium.toml"

// Base holds the flags of every program; a grammar embeds it, or Flags.
type Base struct {
	Root    hostfs.Root   `name:"root" hidden:"" placeholder:"DIR" group:"Common flags" help:"Look at the machine whose root is DIR, for tests."`
	Timeout time.Duration `name:"timeout" default:"${timeout}" placeholder:"DURATION" group:"Common flags" help:"Give up after DURATION, such as 5s or 2m; 0 is no limit (default ${default})."`
	Verbose bool          `name:"verbose" group:"Common flags" help:"Say on stderr what is done and why."`
	Version versionFlag   `name:"version" group:"Common flags" help:"Print the version and exit."`
}

func (b *Base) base() *Base { return b }

// Flags is Base and --config, for the programs that read the configuration.
// Config is empty when the flag was not given; Env.Config is what to read.
type Flags struct {
	Config string `name:"config" placeholder:"FILE" group:"Common flags" help:"Read the configuration from FILE (default ${config})."`
	Base   `embed:""`
}

func (f *Flags) configFlag() *Flags { return f }

// Format is how a program prints its document.
type Format string

// The formats.
const (
	Plain Format = "plain" // for people
	JSON  Format = "json"  // for programs: one document
)

// FormatFlag is --format, for the commands that print documents. The grammar
// or one of its commands embeds it.
type FormatFlag struct {
	Format Format `name:"format" enum:"plain,json" default:"plain" help:"Print the result for people (plain) or for programs (json)."`
}

// versionFlag prints the version before anything else is looked at.
type versionFlag bool

// BeforeReset is called by kong when the flag was given.
func (versionFlag) BeforeReset(k *kong.Kong) error {
	if _, err := io.WriteString(k.Stdout, k.Model.Name+" "+version.String()+"\n"); err != nil {
		return stdoutError(err)
	}
	k.Exit(int(exitcode.OK))
	return nil
}

// IgnoreDefault keeps a default command from being chosen beside --version.
func (versionFlag) IgnoreDefault() {}
