package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/room"
)

type roomModel struct {
	cli.Flags `embed:""`

	List   roomListCmd   `cmd:"" help:"List the rooms, and which of them run." group:"Look"`
	Check  roomCheckCmd  `cmd:"" help:"Look whether a room can start: its image, its folders of the vault, the kernel. Needs root." group:"Look"`
	Gone   roomGoneCmd   `cmd:"" help:"Look whether anything is left of a room: mounts, loop devices, its control group. Needs root." group:"Look"`
	Image  roomImageCmd  `cmd:"" help:"Make an image of a folder, and print what the configuration has to say of it." group:"Act"`
	Run    roomRunCmd    `cmd:"" help:"Run a room until its command ends. Needs root; room@NAME.service does this." group:"Act"`
	Inside roomInsideCmd `cmd:"" hidden:"" help:"Be a room's first process."`
}

// Room is the tool for rooms.
func Room() cli.Program {
	return cli.Program{
		Name:    "room",
		Summary: "run disposable sandboxes from immutable images",
		Manual: `A room is a sandbox that leaves nothing behind. Its root is a squashfs image that is held to a SHA-256, with memory over it that takes all that is written. It has processes, IPC, a host name and, unless told otherwise, a network of its own. Of this machine it sees the folders of the vault that it is given, below /vault, and what it writes into those that are for writing is all that survives.

The rooms are the tables [rooms.named.NAME] of the configuration. systemctl start room@NAME runs one in ai.slice, within its limits; room run does the same by hand.

A room that can't be held to what the configuration says does not start. room run reads the image through one descriptor, compares its SHA-256, and mounts what that descriptor is of. What root changes in the image file after that is not noticed.

The room's root user is the machine's, without its powers: it keeps the capabilities to own and change files, to be other users and to listen on low ports, and no program in the room can gain any. File systems of a room are mounted without device nodes and setuid; the vault without programs, too. Its /dev has null, zero, full, random, urandom, tty, pts and shm, and the nodes of the NVIDIA driver where gpu is true; nothing of /proc but its own processes can be written to, and nothing of /sys.

room run ends with the exit status of the room's command, 128 and the signal's number where a signal ended it. SIGTERM and Ctrl-C are passed on to the command as SIGTERM, once. When room run is killed, the kernel ends the room with it. Before the command runs, the exit codes are those below: 18 says that the room was refused.

room gone is the proof that nothing is left: it looks into the mounts of every process, at every loop device, one over a file that was deleted included, and for the control group. It exits with 42 when something is there, as while the room runs.`,
		Model: &roomModel{},
		Codes: []exitcode.Code{exitcode.TargetUnreachable, exitcode.Inspection, exitcode.Degraded, exitcode.Locked, exitcode.NotPermitted},
		Examples: []cli.Example{
			{Command: "sudo room image ./demo /var/lib/dubnium/rooms/demo.sqsh", Help: "Make an image of the folder demo."},
			{Command: "sudo room check demo", Help: "See whether the room can start."},
			{Command: "sudo systemctl start room@demo", Help: "Start it."},
			{Command: "journalctl -u room@demo", Help: "What it printed."},
			{Command: "sudo room gone demo", Help: "See that nothing is left of it."},
		},
		Files: []cli.File{
			{Path: cli.DefaultConfig, Help: "The configuration, of which it reads the table rooms."},
			{Path: "/var/lib/dubnium/rooms", Help: "The images, unless rooms.directory says otherwise."},
			{Path: "/var/lib/dubnium/vault", Help: "The vault, unless rooms.vault says otherwise."},
		},
		SeeAlso: []string{"mksquashfs(1)", "systemctl(1)", "mode(1)"},
	}
}

// roomHost is this machine with its rooms.
func roomHost(env *cli.Env) (room.Host, error) {
	cfg, err := load(env)
	return room.Host{Root: env.Root, Rooms: cfg.Rooms}, err
}

// roomError gives a code to what has none: something could not be done, or not
// looked at.
func roomError(err error) error {
	if _, coded := errors.AsType[exitcode.Coder](err); err == nil || coded {
		return err
	}
	return exitcode.With(exitcode.Inspection, err)
}

type roomListCmd struct {
	output `embed:""`
}

// roomList is the document of room list.
type roomList struct {
	SchemaVersion int          `json:"schema_version"`
	Rooms         []room.State `json:"rooms"`
}

// Run lists the rooms.
func (c *roomListCmd) Run(env *cli.Env) error {
	h, err := roomHost(env)
	if err != nil {
		return err
	}
	states, err := h.List()
	if err != nil {
		return roomError(err)
	}
	return env.Print(c.format(), roomList{1, states}, func(io.Writer) error {
		t := env.NewTable("ROOM", "STATE", "NETWORK", "GPU", "IMAGE")
		for _, s := range states {
			gpu := "no"
			if s.GPU {
				gpu = "yes"
			}
			t.Row(s.Name, s.State, s.Network, gpu, s.Image)
		}
		return t.Write()
	})
}

type roomCheckCmd struct {
	output `embed:""`
	Name   string `arg:"" help:"The room."`
}

// roomCheck is the document of room check.
type roomCheck struct {
	SchemaVersion int            `json:"schema_version"`
	Room          string         `json:"room"`
	Ready         bool           `json:"ready"`
	Findings      []room.Finding `json:"findings"`
}

// Run looks whether a room can start.
func (c *roomCheckCmd) Run(ctx context.Context, env *cli.Env) error {
	h, err := roomHost(env)
	if err != nil {
		return err
	}
	found, err := h.Check(ctx, c.Name)
	if err != nil {
		return roomError(err)
	}
	doc := roomCheck{1, c.Name, true, found}
	for _, f := range found {
		doc.Ready = doc.Ready && f.OK
	}
	if err := env.Print(c.format(), doc, func(w io.Writer) error {
		for _, f := range found {
			word := "ok"
			if !f.OK {
				word = "refused"
			}
			if _, err := fmt.Fprintf(w, "%-7s  %s: %s\n", word, f.What, cli.Visible(f.Message)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if !doc.Ready {
		return cli.Status(exitcode.TargetUnreachable)
	}
	return nil
}

type roomGoneCmd struct {
	output `embed:""`
	Wait   time.Duration `name:"wait" default:"3s" placeholder:"TIME" help:"How long the kernel may take to clean up behind a room that has just ended (default ${default})."`
	Name   string        `arg:"" help:"The room, whether or not the configuration still has it."`
}

// roomGone is the document of room gone.
type roomGone struct {
	SchemaVersion int             `json:"schema_version"`
	Room          string          `json:"room"`
	Gone          bool            `json:"gone"`
	Left          []room.Leftover `json:"left"`
}

// Run looks for what is left of a room.
func (c *roomGoneCmd) Run(ctx context.Context, env *cli.Env) error {
	left, err := room.Host{Root: env.Root}.Gone(ctx, c.Name, c.Wait)
	if err != nil {
		return roomError(err)
	}
	doc := roomGone{1, c.Name, len(left) == 0, append([]room.Leftover{}, left...)}
	if err := env.Print(c.format(), doc, func(w io.Writer) error {
		if doc.Gone {
			_, err := fmt.Fprintf(w, "nothing is left of room %s\n", c.Name)
			return err
		}
		for _, l := range left {
			if _, err := fmt.Fprintln(w, cli.Visible(l.Message)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if !doc.Gone {
		return cli.Status(exitcode.Degraded)
	}
	return nil
}

type roomImageCmd struct {
	output `embed:""`
	Dir    string `arg:"" help:"The folder that becomes the room's root."`
	File   string `arg:"" help:"The image to make."`
}

// roomImage is the document of room image.
type roomImage struct {
	SchemaVersion int    `json:"schema_version"`
	Image         string `json:"image"`
	SHA256        string `json:"sha256"`
}

// Run makes an image.
func (c *roomImageCmd) Run(ctx context.Context, env *cli.Env) error {
	file, err := filepath.Abs(c.File)
	if err != nil {
		return roomError(err)
	}
	digest, err := room.Pack(ctx, c.Dir, file)
	if err != nil {
		return roomError(err)
	}
	return env.Print(c.format(), roomImage{1, file, digest}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "image = %q\nsha256 = %q\n", file, digest)
		return err
	})
}

type roomRunCmd struct {
	Name string `arg:"" help:"The room."`
}

// Run runs a room.
func (c *roomRunCmd) Run(ctx context.Context, env *cli.Env) error {
	h, err := roomHost(env)
	if err != nil {
		return err
	}
	if !env.Root.Real() {
		return exitcode.Errorf(exitcode.Usage, "a room is run on this machine, and --root names another")
	}
	if os.Geteuid() != 0 {
		return exitcode.Errorf(exitcode.NotPermitted, "only root can run a room; systemctl start %s asks for it", room.Unit(c.Name))
	}
	code, err := h.Run(ctx, c.Name, env.Getenv("TERM"), room.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, ready)
	if err != nil {
		return roomError(err)
	}
	return cli.Passed(code)
}

type roomInsideCmd struct{}

// Run is a room's first process.
func (*roomInsideCmd) Run(ctx context.Context) error {
	ws, err := room.Inside(ctx.Done())
	switch {
	case errors.Is(err, room.ErrNotInside):
		return exitcode.With(exitcode.Usage, err)
	case err != nil:
		// The launcher has been told, and tells people.
		return cli.Status(exitcode.Inspection)
	}
	return cli.Passed(room.ExitStatus(syscall.WaitStatus(ws)))
}
