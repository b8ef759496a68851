package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/idle"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/reconcile"
	"github.com/ryjen/dubnium/pkg/record"
)

type idleModel struct {
	cli.Flags `embed:""`
}

// ModeIdle is the program that asks for compute when nobody is there.
func ModeIdle() cli.Program {
	return cli.Program{
		Name:    "mode-idle",
		Section: 8,
		Summary: "ask for compute when nobody uses the machine",
		Manual: `Looks every idle.interval whether somebody uses the machine, and asks for compute when nobody has for idle.quiet. It is run by mode-idle.service, as root, and ends at once where idle.enable is false, which is the default.

Somebody is there while a session of a person, on a display or on a text console of a seat, is active by logind's IdleHint. A session that never set the hint is neither active nor idle, and nothing is asked for while it is there: the compositor, or an idle daemon such as hypridle or swayidle, has to tell logind (org.freedesktop.login1.Session.SetIdleHint). With no session at all, nobody is there. An inhibitor of idle or sleep in block mode holds it up, as does a change of the mode that is not yet idle.quiet ago.

Then it observes the machine. It asks in desktop alone: never in studio-local, and not in a degraded mode, which is for a person to judge. It runs the guards of the transition, and when all pass it starts mode-controller@compute.service, as anybody who may would: the controller runs the guards again and none is bypassed, nor is an override of mode force made use of.

When guards say no, it pauses: idle.pause, twice as long after each further no for the same reasons, up to idle.pauseMost. Other reasons, another session or a person who came back begin anew. After a transition that failed it pauses for idle.pauseMost at once.

What it waits for is in ` + record.IdleFile + `, in mode status, and in the status of the unit; its journal has a line for each change.`,
		Model: &idleModel{},
		Codes: []exitcode.Code{exitcode.Inspection, exitcode.NotPermitted},
		Examples: []cli.Example{
			{Command: "systemctl enable --now mode-idle.service", Help: "Run it, once idle.enable is true."},
			{Command: "journalctl -u mode-idle.service", Help: "What it saw, and what it asked for."},
		},
		Files: []cli.File{
			{Path: cli.DefaultConfig, Help: "The configuration, of which it reads the table idle."},
			{Path: record.IdleFile, Help: "What it waits for."},
		},
		SeeAlso: []string{"mode(1)", "reconcile(8)"},
	}
}

// Run watches until it is told to stop.
func (m *idleModel) Run(ctx context.Context, env *cli.Env) error {
	cfg, err := load(env)
	if err != nil {
		return err
	}
	if !cfg.Idle.Enable {
		const off = "idle.enable is false: there is nothing to do"
		if _, err := daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+off); err != nil {
			return exitcode.With(exitcode.Inspection, err)
		}
		_, err := fmt.Fprintln(env.Stdout, off)
		return err
	}
	if os.Geteuid() != 0 {
		return exitcode.Errorf(exitcode.NotPermitted, "only root can run the guards on everybody's work; mode-idle.service does")
	}
	eng, err := engine(env, false)
	if err != nil {
		return err
	}
	machine, ok := eng.Host.(*reconcile.Machine)
	if !ok {
		return errors.New("the engine works on no machine")
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return exitcode.With(exitcode.Inspection, err)
	}
	n := &narrator{env: env, store: record.Store{Root: env.Root}, pulse: newPulse(ctx, every/2)}
	if err := ready(); err != nil {
		return err
	}
	(&idle.Watcher{
		Host: idle.Machine{Machine: machine}, Interval: cfg.Idle.Interval.Std(), Bounds: idleBounds(cfg),
		Policy: idle.Policy{Quiet: cfg.Idle.Quiet.Std(), First: cfg.Idle.Pause.Std(), Most: cfg.Idle.PauseMost.Std()},
		Begin:  func(_ string, bound time.Duration) { n.pulse.until(bound) },
		Report: n.report, Asked: n.asked,
	}).Watch(ctx)
	return nil
}

// idleBounds are what a look and a request may take.
func idleBounds(cfg config.Config) idle.Bounds {
	t := cfg.Timeouts
	return idle.Bounds{
		Look: t.Observe.Std(), Observe: 2 * t.Observe.Std(), Guards: 2 * t.Guard.Std(),
		Request: plan.ForState(mode.StateDesktop, mode.Compute, cfg).Bound(cfg).Whole + 2*t.StartUnit.Std(),
	}
}

// narrator tells people what the watcher does.
type narrator struct {
	env   *cli.Env
	store record.Store
	pulse *pulse
	last  idle.Reason
	about string
}

// report tells systemd and the state file of each look, and the journal of each
// change: a line a minute would bury it.
func (n *narrator) report(d idle.Decision, f idle.Facts, m idle.Memory, rest time.Duration) {
	now := time.Now()
	doc := record.Idle{
		SchemaVersion: record.SchemaVersion, Timestamp: stamp(now), NextLook: stamp(now.Add(rest)),
		Reason: string(d.Reason), Message: d.Message, Tries: m.Tries, Blocked: m.Blocked,
	}
	if d.At > f.Now {
		doc.AsksAt = stamp(now.Add(d.At - f.Now))
	}
	if err := n.store.SetIdle(doc); err != nil {
		n.env.Warnf("%v", err)
	}
	_, _ = daemon.SdNotify(false, "STATUS="+cli.Visible(d.Message)) // that nobody reads it changes nothing
	if d.Reason == n.last && m.Blocked == n.about {
		return
	}
	n.last, n.about = d.Reason, m.Blocked
	n.say("%s: %s", d.Reason, d.Message)
}

func stamp(t time.Time) string { return t.UTC().Format(record.TimeFormat) }

func (n *narrator) asked(ev record.Event, err error) {
	if err != nil {
		n.say("asked for compute: %v", err)
		return
	}
	n.say("asked for compute: transition %s ended as %s: %s", ev.ID, ev.Outcome, ev.Reason)
}

func (n *narrator) say(format string, args ...any) {
	fmt.Fprintln(n.env.Stdout, cli.Visible(fmt.Sprintf(format, args...)))
}

// pulse tells systemd's watchdog that we live, as long as what we do takes no
// longer than it may.
type pulse struct {
	mu    sync.Mutex
	bound time.Time
}

// slack is what a step may take beyond its bound, on a busy machine.
const slack = 30 * time.Second

// newPulse beats until ctx ends; every is 0 where nobody watches.
func newPulse(ctx context.Context, every time.Duration) *pulse {
	p := &pulse{}
	p.until(0)
	if every > 0 {
		go p.beat(ctx, every)
	}
	return p
}

// until begins a step that may take so long.
func (p *pulse) until(bound time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bound = time.Now().Add(bound + slack)
}

func (p *pulse) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.bound)
}

func (p *pulse) beat(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if p.alive() {
			_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
