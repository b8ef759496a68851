package guards

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
)

// GPUDisplayReleased asks whether nothing draws on a GPU any more.
var GPUDisplayReleased = guard.Descriptor{
	Name:     "gpu_display_released",
	Question: "Has the display let go of every GPU?",
	Manual: `Looks twice, guards.gpu.settle apart, and passes when both looks find the same: no process of a session, a login screen or the login path holds a graphics card, logind has closed its own descriptors, NVML lists no graphics process, and the memory in use on each GPU of hardware.presentGpus is down to guards.gpu.residual.

Holders are found by the device numbers of what their descriptors and mappings lead to, DRM nodes (AMD and Intel cards too) and NVIDIA nodes alike. Where hardware.displayGpu is absent, no NVIDIA GPU has the display: holders of nothing but cards of other makers are then told, and keep nothing. Services and programs in gpu.benignUnits and gpu.benignPrograms, and the compute workload, may stay. NVML is asked through observe-gpu, and only once nobody holds a card.

It needs root: what can't be read is an error, never a release. With hardware.presentGpus empty it passes, and its evidence says who was seen.

After a block, end what the message names: loginctl terminate-session ID for a session, systemctl stop UNIT for a service, loginctl terminate-user UID for a unit of a user's manager. Never unload or unbind the driver.`,
	Block:  exitcode.DisplayGPUOwned,
	Hard:   true,
	Target: mode.Compute,
	Reasons: []guard.Reason{
		{Word: "no-gpu-configured", Class: guard.Pass, Meaning: "hardware.presentGpus is empty: there is no GPU to wait for"},
		{Word: "released", Class: guard.Pass, Meaning: "nobody holds a graphics card that counts"},
		{Word: "released-with-benign", Class: guard.Pass, Meaning: "only benign holders or the compute workload are left"},
		{Word: "held-by-compositor", Class: guard.Block, Meaning: "a compositor or display server holds a card"},
		{Word: "held-by-session", Class: guard.Block, Meaning: "another process of a person holds a card"},
		{Word: "held-by-greeter", Class: guard.Block, Meaning: "a login screen holds a card"},
		{Word: "held-by-display-manager", Class: guard.Block, Meaning: "a process of the login path holds a card"},
		{Word: "held-by-unknown", Class: guard.Block, Meaning: "a process that nothing is known of holds a card"},
		{Word: "being-torn-down", Class: guard.Block, Meaning: "only logind or process 1 still holds a card: the session is not wholly gone"},
		{Word: "nvml-graphics-process", Class: guard.Block, Meaning: "the NVIDIA driver lists a process that draws"},
		{Word: "memory-above-baseline", Class: guard.Block, Meaning: "more memory of a GPU is in use than may be left"},
		{Word: "gpu-missing", Class: guard.Error, Meaning: "a GPU of hardware.presentGpus was not found"},
		{Word: "driver-unreadable", Class: guard.Error, Meaning: "the NVIDIA driver could not be asked, or not for all that is needed; the message says why"},
	},
	Window: func(c config.Config) time.Duration { return c.Guards.GPU.Settle.Std() },
	Check: func(ctx context.Context, env guard.Env) guard.Verdict {
		self, err := os.Executable()
		if err != nil {
			return guard.CannotSee(fmt.Errorf("find the folder of %s: %w", gpu.Binary, err), nil)
		}
		return checkRelease(ctx, env, filepath.Join(filepath.Dir(self), gpu.Binary))
	},
}

// releaseEvidence is what the verdict rests on: the looks and the thresholds.
type releaseEvidence struct {
	PresentGPUs []int         `json:"present_gpus"`
	SettleMS    float64       `json:"settle_ms"`
	ResidualMiB uint64        `json:"residual_mib"`
	Looks       []releaseLook `json:"looks"`
}

// releaseLook is one look at who holds the cards.
type releaseLook struct {
	TookMS float64    `json:"took_ms"`
	Cards  []gpu.Card `json:"cards"`
	// Holders are the first of HolderCount.
	Holders     []holders.Holder `json:"holders"`
	HolderCount int              `json:"holder_count"`
	Processes   int              `json:"processes_seen"`
	Descriptors int              `json:"descriptors_seen"`
	Unreadable  int              `json:"processes_unreadable,omitempty"`
	All         bool             `json:"all_processes"`
	Error       string           `json:"error,omitempty"`
	// NVML is nil when it was not asked, because somebody holds a card or no
	// GPU is configured.
	NVML *nvmlLook `json:"nvml,omitempty"`
}

type nvmlLook struct {
	Reason        gpu.Reason `json:"reason"`
	Message       string     `json:"message,omitempty"`
	DriverVersion string     `json:"driver_version,omitempty"`
	GPUs          []gpu.GPU  `json:"gpus"`
	// Processes are those that NVML lists, with who they are.
	Processes []holders.Process `json:"processes"`
}

// shown is how many holders the evidence lists; its line has a limit.
const shown = 24

// margin is what a look leaves of the guard's deadline to say what it saw.
const margin = 150 * time.Millisecond

// checkRelease takes the looks; program is observe-gpu.
func checkRelease(ctx context.Context, env guard.Env, program string) guard.Verdict {
	cfg := env.Config
	ev := releaseEvidence{
		PresentGPUs: append([]int{}, cfg.Hardware.PresentGPUs...), SettleMS: cfg.Guards.GPU.Settle.Std().Seconds() * 1000,
		ResidualMiB: cfg.Guards.GPU.Residual.MiB(), Looks: []releaseLook{},
	}
	if len(ev.PresentGPUs) == 0 {
		return noGPU(ctx, env, ev)
	}
	settle := cfg.Guards.GPU.Settle.Std()
	var v guard.Verdict
	for left := 2; left > 0; left-- {
		look, state, err := lookAtCards(ctx, env, remaining(ctx, settle, left))
		if err == nil && judgeHolders(state.scan).Reason == "" {
			if err = state.scan.Gap(); err == nil {
				look.NVML, err = askNVML(ctx, env, program, state.who, remaining(ctx, settle, left))
			}
		}
		ev.Looks = append(ev.Looks, look)
		v = judgeLook(look, state, cfg)
		v.Evidence = ev
		if err != nil && (v.Reason == "" || letGo(v)) {
			v = guard.CannotSee(err, ev)
		}
		if !letGo(v) || left == 1 {
			return v
		}
		if err := wait(ctx, settle); err != nil {
			return guard.CannotSee(fmt.Errorf("wait %v for the second look: %w", settle, err), ev)
		}
	}
	return v
}

// noGPU passes as the contract has it, and says who was seen all the same.
func noGPU(ctx context.Context, env guard.Env, ev releaseEvidence) guard.Verdict {
	look, state, err := lookAtCards(ctx, env, remaining(ctx, 0, 2))
	if err == nil {
		err = state.scan.Gap()
	}
	if err != nil {
		look.Error = err.Error()
	}
	ev.Looks = append(ev.Looks, look)
	seen := "nobody holds a graphics card"
	switch n := look.HolderCount; {
	case n > 0:
		seen = fmt.Sprintf("%s holds %s%s", state.scan.Holders[0].Process, state.scan.Holders[0].Held(), more(n-1))
	case err != nil:
		seen = "who holds a graphics card could not be read"
	}
	return guard.Say("no-gpu-configured", ev, "hardware.presentGpus is empty; %s", seen)
}

// remaining is how long a source may take when left looks are to come, of
// which this is one: its share of what the guard's deadline leaves.
func remaining(ctx context.Context, settle time.Duration, left int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	rest := time.Until(deadline) - margin
	if left > 1 {
		rest = (rest - settle) / 2
	}
	return max(rest, time.Millisecond)
}

// wait lets the settling time pass.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cardState is what a look saw, for the decision.
type cardState struct {
	scan holders.Scan // without others
	who  holders.Who
	// others hold no GPU of the configuration.
	others []holders.Holder
}

// lookAtCards finds the cards and who holds them. Logind and systemd say who
// is who; when they do not answer, that is an error, and holders are found
// without knowing greeters and login units.
func lookAtCards(ctx context.Context, env guard.Env, limit time.Duration) (releaseLook, cardState, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	look := releaseLook{Cards: []gpu.Card{}, Holders: []holders.Holder{}}
	var state cardState
	who, whoErr := collect.Who(env.Root, env.Config, collect.Ask(ctx, env.Root, env.Config.Desktop.LoginUnits))
	state.who = who
	err := func() error {
		cards, err := collect.Within(ctx, "/sys/bus/pci/devices", func() ([]gpu.Card, error) { return gpu.Cards(env.Root) })
		if err != nil {
			return err
		}
		look.Cards = append(look.Cards, cards...)
		o := holders.Options{Cards: cards, Who: state.who}
		if !env.Config.Guards.GPU.ScanAll {
			o.Candidates = holders.Candidates(state.who.LoginUnits, state.who.Workload)
		}
		state.scan, err = holders.Look(ctx, env.Root, o)
		return err
	}()
	if whoErr != nil {
		err = whoErr // it came first, and a holder is seen all the same
	}
	s := state.scan
	look.Holders = append(look.Holders, s.Holders[:min(len(s.Holders), shown)]...)
	look.HolderCount, look.Processes, look.Descriptors = len(s.Holders), s.Processes, s.Descriptors
	look.Unreadable, look.All = s.Unreadable, s.All
	look.TookMS = float64(time.Since(start).Microseconds()) / 1000
	state.scan.Holders, state.others = elsewhere(env.Config.Hardware, look.Cards, s.Holders)
	return look, state, err
}

// askNVML runs observe-gpu. That the driver could not be asked is told in the
// look; an error says that a process that NVML lists could not be looked at.
func askNVML(ctx context.Context, env guard.Env, program string, who holders.Who, limit time.Duration) (*nvmlLook, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	look := &nvmlLook{GPUs: []gpu.GPU{}, Processes: []holders.Process{}}
	r, err := gpu.Ask(bounded, env.Root, program, env.Config.GPU.NVMLLibrary)
	if err != nil {
		look.Reason, look.Message = gpu.DriverError, err.Error()
		if bounded.Err() != nil {
			look.Reason = gpu.Timeout
		}
		return look, nil
	}
	look.Reason, look.Message, look.DriverVersion = r.Reason, r.Message, r.DriverVersion
	look.GPUs = append(look.GPUs, r.GPUs...)
	return look, identify(env.Root, look, who)
}

// identify says who the processes are that NVML lists. One that has ended
// since draws no more.
func identify(root hostfs.Root, look *nvmlLook, who holders.Who) error {
	for _, g := range look.GPUs {
		for _, p := range g.Processes {
			if slices.ContainsFunc(look.Processes, func(o holders.Process) bool { return o.PID == p.PID }) {
				continue
			}
			id, alive, err := holders.Identify(root, p.PID, who)
			if err != nil {
				return fmt.Errorf("look who uses GPU %d: %w", g.Index, err)
			}
			if alive {
				look.Processes = append(look.Processes, id)
			}
		}
	}
	return nil
}

// heldBy lists the classes that block, the most telling first.
var heldBy = []struct {
	class  holders.Class
	reason string
}{
	{holders.Compositor, "held-by-compositor"},
	{holders.UserSession, "held-by-session"},
	{holders.Greeter, "held-by-greeter"},
	{holders.DisplayManager, "held-by-display-manager"},
	{holders.Unknown, "held-by-unknown"},
	{holders.Broker, "being-torn-down"},
}

// judgeHolders decides by who holds a card; no reason means that none blocks.
func judgeHolders(scan holders.Scan) guard.Verdict {
	for _, h := range heldBy {
		if found := scan.Of(h.class); len(found) > 0 {
			return guard.Say(h.reason, nil, "%s holds %s%s", found[0].Process, found[0].Held(), more(len(found)-1))
		}
	}
	return guard.Verdict{}
}

// judgeLook decides by one look; no reason means that it did not get as far as
// a decision.
func judgeLook(look releaseLook, state cardState, cfg config.Config) guard.Verdict {
	scan := state.scan
	if v := judgeHolders(scan); v.Reason != "" {
		return v
	}
	if look.NVML == nil {
		return guard.Verdict{}
	}
	if v := judgeNVML(*look.NVML, cfg); v.Reason != "" {
		return v
	}
	if stay := scan.Of(holders.Benign, holders.Workload, holders.Kernel); len(stay) > 0 {
		return guard.Say("released-with-benign", nil, "only %s (%s) holds %s%s", stay[0].Process, stay[0].Class, stay[0].Held(), more(len(stay)-1))
	}
	if o := state.others; len(o) > 0 {
		return guard.Say("released", nil, "nobody holds a GPU of hardware.presentGpus; %s holds %s, which is another card%s", o[0].Process, o[0].Held(), more(len(o)-1))
	}
	return guard.Say("released", nil, "nobody holds a graphics card")
}

// judgeNVML decides by what the driver says; no reason means that it agrees.
func judgeNVML(look nvmlLook, cfg config.Config) guard.Verdict {
	unreadable := func(format string, args ...any) guard.Verdict {
		return guard.Say("driver-unreadable", nil, format, args...)
	}
	switch look.Reason {
	case gpu.OK, gpu.Partial, gpu.NoDevice:
	default:
		return unreadable("ask the NVIDIA driver: %s: %s", look.Reason, look.Message)
	}
	report := gpu.Report{GPUs: look.GPUs}
	for _, index := range cfg.Hardware.PresentGPUs {
		g, found := report.Find(index)
		switch {
		case !found:
			return guard.Say("gpu-missing", nil, "GPU %d of hardware.presentGpus was not found; the driver knows %d (observe-gpu lists them)%s", index, len(look.GPUs), because(look.Message))
		case g.Reason == gpu.Suspended:
			continue // nothing draws there, and nothing would be given back by waking it
		case g.Reason != gpu.OK && g.Reason != gpu.Partial, !g.Has("memory") || g.MemoryUsedMiB == nil, !g.Has(string(gpu.Graphics)):
			return unreadable("GPU %d: %s: %s", index, g.Reason, g.Message)
		}
	}
	for _, g := range look.GPUs {
		for _, p := range g.Processes {
			if who, known := look.who(p.PID); known && p.Kind == gpu.Graphics && !mayStay(who.Class) {
				return guard.Say("nvml-graphics-process", nil, "the driver lists %s as drawing on GPU %d", who, g.Index)
			}
		}
	}
	for _, index := range cfg.Hardware.PresentGPUs {
		g, _ := report.Find(index)
		if v := judgeMemoryOf(g, look, cfg.Guards.GPU.Residual); v.Reason != "" {
			return v
		}
	}
	return guard.Verdict{}
}

// judgeMemoryOf compares what is in use on a GPU with what may be left, less
// what belongs to those that may stay. Where the driver does not tell how much
// one of them uses, there is nothing to compare.
func judgeMemoryOf(g gpu.GPU, look nvmlLook, residual config.Size) guard.Verdict {
	if g.MemoryUsedMiB == nil {
		return guard.Verdict{} // suspended
	}
	uses := map[int]uint64{} // a process may be in two lists
	for _, p := range g.Processes {
		who, known := look.who(p.PID)
		if !known || !mayStay(who.Class) {
			continue
		}
		if p.UsedMiB == nil {
			return guard.Verdict{}
		}
		uses[p.PID] = max(uses[p.PID], *p.UsedMiB)
	}
	used, theirs := *g.MemoryUsedMiB, uint64(0)
	for _, n := range uses {
		theirs += n
	}
	rest := used - min(used, theirs)
	if rest <= residual.MiB() {
		return guard.Verdict{}
	}
	return guard.Say("memory-above-baseline", nil, "%d MiB of GPU %d are in use by nobody who may stay, at most %d MiB may be (guards.gpu.residual)%s", rest, g.Index, residual.MiB(), users(g))
}

// users names whom NVML lists on a GPU, for messages.
func users(g gpu.GPU) string {
	var names []string
	for _, p := range g.Processes {
		if name := fmt.Sprintf("%s (pid %d)", p.Comm, p.PID); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if names == nil {
		return ""
	}
	return "; the driver lists " + strings.Join(names[:min(len(names), 3)], ", ") + more(len(names)-3)
}

// mayStay tells whether processes of a class do not keep a display.
func mayStay(c holders.Class) bool {
	return c == holders.Benign || c == holders.Workload || c == holders.Kernel || c == holders.Broker
}

func (l nvmlLook) who(pid int) (holders.Process, bool) {
	i := slices.IndexFunc(l.Processes, func(p holders.Process) bool { return p.PID == pid })
	if i < 0 {
		return holders.Process{}, false
	}
	return l.Processes[i], true
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

func because(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// letGo tells whether a look's verdict is that the display has let go.
func letGo(v guard.Verdict) bool { return v.Reason == "released" || v.Reason == "released-with-benign" }
