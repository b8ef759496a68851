package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/tests/loop"
)

// fault is something that goes wrong with a transition.
type fault struct {
	name string
	to   []mode.Mode // the targets that it can happen to; empty for all
	from []mode.Mode // the modes to come from
	// inject spoils the machine, or has it spoiled at a point of the transition
	// that chance picks, and gives what mends it. Mending takes the cause away
	// and cleans up nothing.
	inject func(ctx context.Context, b *bench, to mode.Mode, chance *rand.Rand) (mend func(context.Context) error, err error)
}

// points is about how many things a controller writes in a transition: chance
// picks among them, and beyond the last one nothing happens.
const points = 32

func nothing(context.Context) error { return nil }

var faults = []fault{
	{name: "none", inject: func(context.Context, *bench, mode.Mode, *rand.Rand) (func(context.Context) error, error) {
		return nothing, nil
	}},
	{name: "controller killed", inject: func(_ context.Context, b *bench, _ mode.Mode, chance *rand.Rand) (func(context.Context) error, error) {
		b.Arm(1+chance.IntN(points), loop.EveryWrite, loop.Kill)
		return nothing, nil
	}},
	// logind does not find its way back to a bus that was started anew.
	{name: "D-Bus killed", inject: atSomePoint("dbus.service", "systemctl", "restart", "systemd-logind.service")},
	{name: "logind killed", inject: atSomePoint("systemd-logind.service")},
	{name: "display manager killed", inject: atSomePoint("display-manager.service")},
	{
		name: "vLLM dies", to: []mode.Mode{mode.Compute},
		inject: func(_ context.Context, b *bench, _ mode.Mode, _ *rand.Rand) (func(context.Context) error, error) {
			const behaviour = "/etc/dubnium-fake-vllm.json"
			err := b.WriteFile(behaviour, `{"exit_code_at_start": 1}`)
			return func(context.Context) error { return b.WriteFile(behaviour, healthy) }, err
		},
	},
	{
		name: "vLLM never healthy", to: []mode.Mode{mode.Compute},
		inject: func(_ context.Context, b *bench, _ mode.Mode, _ *rand.Rand) (func(context.Context) error, error) {
			const behaviour = "/etc/dubnium-fake-vllm.json"
			err := b.WriteFile(behaviour, `{"never_healthy": true}`)
			return func(context.Context) error { return b.WriteFile(behaviour, healthy) }, err
		},
	},
	{name: "display manager hangs at its start", from: []mode.Mode{mode.Compute}, inject: displayManager("ExecStartPre=+/usr/bin/sleep infinity\nTimeoutStartSec=15\n")},
	{name: "display manager hangs at its end", to: []mode.Mode{mode.Compute}, inject: displayManager("ExecStop=+/usr/bin/sleep infinity\nTimeoutStopSec=15\n")},
	{
		name: "a guard blocks",
		inject: func(ctx context.Context, b *bench, to mode.Mode, _ *rand.Rand) (func(context.Context) error, error) {
			file := fmt.Sprintf("/etc/dubnium/guards.d/%s/tape", to)
			err := b.WriteFileMode(file, "#!/bin/sh\necho '"+`{"guard":"tape","ok":false,"code":10,"class":"block","hard":true,"reason":"tape-runs","message":"the tape runs","evidence":{}}`+"'\nexit 10\n", 0o755)
			return func(ctx context.Context) error { return b.do(ctx, "rm", file) }, err
		},
	},
	{
		name: "three requests at once",
		inject: func(ctx context.Context, b *bench, _ mode.Mode, chance *rand.Rand) (func(context.Context) error, error) {
			var others sync.WaitGroup
			b.Arm(1+chance.IntN(points), loop.EveryWrite, func(int) {
				for _, to := range mode.All() {
					others.Go(func() { b.Run(ctx, "reconcile", string(to)) })
				}
				others.Wait() // they are told that the lock is held, or have it first
			})
			return nothing, nil
		},
	},
}

// suits tells whether a fault can happen on the way between two modes.
func (f fault) suits(from, to mode.Mode) bool {
	return (len(f.from) == 0 || slices.Contains(f.from, from)) && (len(f.to) == 0 || slices.Contains(f.to, to))
}

// beforeTheLook picks the writes before the last observation begins: what breaks
// after it is not the transition's.
func beforeTheLook(m *record.Marker) bool { return m == nil || m.Phase != record.Observing }

// atSomePoint kills all of a unit at a point of the transition; mend is a
// command that is run afterwards, if any is.
func atSomePoint(unit string, mend ...string) func(context.Context, *bench, mode.Mode, *rand.Rand) (func(context.Context) error, error) {
	return func(ctx context.Context, b *bench, _ mode.Mode, chance *rand.Rand) (func(context.Context) error, error) {
		b.Arm(1+chance.IntN(points), beforeTheLook, func(int) { b.Run(ctx, "systemctl", "kill", "--signal=KILL", unit) })
		if len(mend) == 0 {
			return nothing, nil
		}
		return func(ctx context.Context) error { return b.do(ctx, mend...) }, nil
	}
}

// displayManager adds to the display manager's unit.
func displayManager(settings string) func(context.Context, *bench, mode.Mode, *rand.Rand) (func(context.Context) error, error) {
	return func(ctx context.Context, b *bench, _ mode.Mode, _ *rand.Rand) (func(context.Context) error, error) {
		const dir = "/run/systemd/system/headless-dm.service.d"
		if err := b.WriteFile(dir+"/fault.conf", "[Service]\n"+settings); err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			if err := b.do(ctx, "rm", "-r", dir); err != nil {
				return err
			}
			return b.do(ctx, "systemctl", "daemon-reload")
		}, b.do(ctx, "systemctl", "daemon-reload")
	}
}
