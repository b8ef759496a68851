package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/exitcode"
)

// reportTo is where people report a bug of ours.
const reportTo = "https://github.com/ryjen/dubnium/issues"

// Main runs the program as the process that it is, and ends the process.
func Main(p Program) {
	ctx := untilSignal(context.Background())
	// Taken, not ignored: a write to a closed pipe then fails instead of
	// killing the process, and programs that we start still get the default.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	os.Exit(int(ExecuteContext(ctx, p, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)))
}

// untilSignal gives a context that SIGINT or SIGTERM cancels. By the time that
// it is cancelled, the next such signal ends the process as the system does it.
func untilSignal(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	received := make(chan os.Signal, 2)
	signal.Notify(received, unix.SIGINT, unix.SIGTERM)
	go func() {
		first := <-received
		signal.Stop(received)
		select {
		case second := <-received: // came before the handler was gone
			_ = unix.Kill(unix.Getpid(), second.(unix.Signal))
		default:
		}
		cancel(fmt.Errorf("%s signal received", first))
	}()
	return ctx
}

// Execute runs the program inside this process, for tests and for programs
// that contain others: args are without the program's name.
func Execute(p Program, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) exitcode.Code {
	return ExecuteContext(context.Background(), p, args, stdin, stdout, stderr, getenv)
}

// ExecuteContext is Execute below a context.
func ExecuteContext(ctx context.Context, p Program, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) (code exitcode.Code) {
	out := &result{to: stdout}
	r := &runner{program: p, out: out, env: &Env{
		Name: p.Name, Stdin: stdin, Stdout: out, Stderr: stderr,
		Config: DefaultConfig, Width: defaultWidth, Getenv: getenv, terminal: stdout,
	}}
	defer func() {
		if v := recover(); v != nil {
			code = r.panicked(v, debug.Stack())
		}
	}()
	return r.end(r.run(ctx, args))
}

// runner is one run of a program.
type runner struct {
	program Program
	env     *Env
	out     *result
}

// run gives the error that the program ends with; bad usage has its code by
// then.
func (r *runner) run(ctx context.Context, args []string) error {
	k, err := newKong(r.program)
	if err != nil {
		return fmt.Errorf("build the grammar of %s: %w", r.program.Name, err)
	}
	k.Stdout, k.Stderr = r.env.terminal, r.env.Stderr
	kctx, done, err := parse(k, args)
	if done {
		return nil
	}
	if err != nil {
		return usage(r.program, kctx, err)
	}
	base := r.program.Model.(interface{ base() *Base }).base()
	if base.Timeout < 0 {
		return usage(r.program, kctx, fmt.Errorf("--timeout: %s is negative; 0 is no limit", base.Timeout))
	}
	if err := r.look(base); err != nil {
		return err
	}
	later, ok := r.program.Model.(interface{ boundsLater() bool })
	if base.Timeout > 0 && !(ok && later.boundsLater()) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, base.Timeout,
			fmt.Errorf("gave up after %s, the limit that --timeout sets", base.Timeout))
		defer cancel()
	}
	if r.program.Run != nil {
		err = r.program.Run(ctx, r.env)
	} else {
		kctx.BindTo(ctx, (*context.Context)(nil))
		err = kctx.Run(r.env)
	}
	return cancelled(ctx, err)
}

// look fills in what the command line and the terminal say.
func (r *runner) look(base *Base) error {
	e := r.env
	e.Root, e.Verbose = base.Root, base.Verbose
	e.Terminal, e.Interactive = isTerminal(e.terminal), isTerminal(e.Stderr)
	e.Colour = colourAllowed(e.Terminal, e.Getenv)
	e.Width = width(e.terminal, e.Getenv)
	if m, ok := r.program.Model.(interface{ configFlag() *Flags }); ok && m.configFlag().Config != "" {
		e.Config, e.ConfigGiven = m.configFlag().Config, true
	}
	// A name below another root has no working folder to be relative to.
	if e.Root.Real() && !filepath.IsAbs(e.Config) {
		abs, err := filepath.Abs(e.Config)
		if err != nil {
			return exitcode.Errorf(exitcode.Config, "find the folder that --config %s is relative to: %w", e.Config, err)
		}
		e.Config = abs
	}
	return nil
}

// usage is the error for a command line that can't be understood. An error
// that carries a code of its own keeps it: a value can be more than misspelt.
func usage(p Program, kctx *kong.Context, err error) error {
	if hasCode(err) || errors.Is(err, errReaderGone) || errors.Is(err, errStdout) {
		return err
	}
	help := p.Name
	if kctx != nil {
		if node := kctx.Selected(); node != nil {
			help = commandPath(node)
		}
	}
	// kong's suggestion, in our punctuation, and its choices without the empty one.
	text, suggestion, found := strings.Cut(err.Error(), ", did you mean ")
	if found {
		text += "; did you mean " + strings.ReplaceAll(suggestion, `"`, "")
	} else if meant := p.meant(kctx); meant != "" {
		text += "; did you mean " + meant + "?"
	}
	text = strings.Replace(text, ` must be one of "",`, " must be one of ", 1)
	text = strings.Replace(text, `,"" but got `, " but got ", 1)
	return exitcode.Errorf(exitcode.Usage, "%s (%s --help lists all)", text, help)
}

// meant is the command line that is meant by the word at which the parse of a
// command ended, or nothing.
func (p Program) meant(kctx *kong.Context) string {
	if kctx == nil || len(kctx.Path) == 0 || kctx.Selected() != nil {
		return ""
	}
	rest := kctx.Path[len(kctx.Path)-1].Remainder()
	if len(rest) == 0 {
		return ""
	}
	return p.Meant[rest[0]]
}

// cancelled gives a code to an error that only says that ctx has ended, and
// says who ended it.
func cancelled(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, ctx.Err()) || hasCode(err) {
		return err
	}
	return exitcode.Errorf(exitcode.Inspection, "%w: %w", context.Cause(ctx), err)
}

func hasCode(err error) bool {
	var coder exitcode.Coder
	return errors.As(err, &coder)
}

// end says what there is to say about err and gives the exit code.
func (r *runner) end(err error) exitcode.Code {
	if err == nil {
		err = r.out.failed()
	}
	if other, is := errors.AsType[passed](err); is {
		return exitcode.Code(other)
	}
	var coder exitcode.Coder
	coded := errors.As(err, &coder)
	switch {
	case err == nil, !coded && errors.Is(err, errReaderGone):
		return exitcode.OK
	case !coded && errors.Is(err, errStdout):
		r.say(err.Error())
		return exitcode.Inspection
	case !coded:
		return r.fault(err, "this error carries no exit code")
	}
	code := coder.ExitCode()
	if band := code.Band(); band == exitcode.BandOutside || band == exitcode.BandPass {
		return r.fault(err, fmt.Sprintf("this error carries the exit code %d, which no error may have", code))
	}
	if _, silent := coder.(status); !silent {
		r.say(err.Error())
	}
	if code == exitcode.Usage {
		r.misuse(code, err)
	}
	return code
}

// fault ends the program because of a bug of ours.
func (r *runner) fault(err error, why string) exitcode.Code {
	r.say(err.Error())
	r.say(why + ", which is a bug in Dubnium; please report it: " + reportTo)
	r.misuse(exitcode.Internal, err)
	return exitcode.Internal
}

func (r *runner) panicked(v any, stack []byte) exitcode.Code {
	r.say(fmt.Sprintf("internal fault: %v", v))
	fmt.Fprintf(r.env.Stderr, "\n%s\n", Visible(string(stack)))
	r.say("this is a bug in Dubnium; please report it with the lines above: " + reportTo)
	r.misuse(exitcode.Internal, fmt.Errorf("internal fault: %v", v))
	return exitcode.Internal
}

// misuse tells the program why it ends. It must not bring the runner down.
func (r *runner) misuse(code exitcode.Code, err error) {
	if r.program.Misuse == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			r.say(fmt.Sprintf("internal fault while reporting the one above: %v", v))
		}
	}()
	r.program.Misuse(r.env, code, err)
}

func (r *runner) say(message string) { r.env.Warnf("%s", message) }
