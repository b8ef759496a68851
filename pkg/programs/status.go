package programs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/observe"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/survey"
)

type statusCmd struct {
	output `embed:""`
}

// status is the document of mode status.
type status struct {
	SchemaVersion int                 `json:"schema_version"`
	Desired       mode.Mode           `json:"desired,omitempty"`
	Observation   observe.Observation `json:"observation"`
	Needed        bool                `json:"reconciliation_needed"`
	BlockedBy     []guard.Result      `json:"blocked_by"`
	Transition    *record.Marker      `json:"transition,omitempty"`
	Last          *record.Event       `json:"last_transition,omitempty"`
	Placement     placement           `json:"placement"`
	Hardware      hardware            `json:"hardware"`
	Idle          idleStatus          `json:"idle"`
	Unread        []string            `json:"unread"`
}

// placement says which capabilities the machine has, as
// capability-placement.json does.
type placement struct {
	Studio   config.Placement `json:"studio"`
	AI       config.Placement `json:"ai"`
	Platform config.Placement `json:"platform"`
}

// hardware is what the configuration says of the GPUs, as
// hardware-topology.json does.
type hardware struct {
	PlannedGPUCount int   `json:"planned_gpu_count"`
	PresentGPUs     []int `json:"present_gpus"`
	DisplayGPU      *int  `json:"display_gpu,omitempty"`
	DesktopAIGPUs   []int `json:"desktop_ai_gpus"`
	ComputeGPUs     []int `json:"compute_gpus"`
}

// Run answers in one screen.
func (c *statusCmd) Run(ctx context.Context, env *cli.Env) error {
	cfg, err := load(env)
	if err != nil {
		return err
	}
	doc := gatherStatus(ctx, env, cfg)
	if err := env.Print(c.format(), doc, func(io.Writer) error { return writeStatus(env, cfg, doc) }); err != nil {
		return err
	}
	return blind(doc.Observation)
}

func gatherStatus(ctx context.Context, env *cli.Env, cfg config.Config) status {
	store := record.Store{Root: env.Root}
	doc := status{
		SchemaVersion: 1, BlockedBy: []guard.Result{}, Unread: []string{},
		Placement: placement(cfg.CapabilityPlacement), Hardware: hardware(cfg.Hardware),
		Observation: survey.Observe(ctx, env.Root, cfg, 0),
	}
	note := func(err error) {
		if err != nil {
			doc.Unread = append(doc.Unread, err.Error())
		}
	}
	desired, _, err := store.Desired()
	note(err)
	doc.Desired = desired
	if m, found, err := store.Marker(); err != nil {
		note(err)
	} else if found {
		doc.Transition = &m
	}
	if last, found, err := store.Last(); err != nil {
		note(err)
	} else if found {
		doc.Last = &last
		if last.Outcome == record.Blocked || last.Outcome == record.CheckError {
			for _, g := range last.Guards {
				if !g.OK {
					doc.BlockedBy = append(doc.BlockedBy, g)
				}
			}
		}
	}
	doc.Idle, err = idleOf(store, cfg, time.Now())
	note(err)
	stable, is := doc.Observation.State.Stable()
	doc.Needed = doc.Desired != "" && (!is || stable != doc.Desired)
	return doc
}

// writeStatus writes the screen. Each line begins with what it is about.
func writeStatus(env *cli.Env, cfg config.Config, doc status) error {
	o := doc.Observation
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%s %s\n", env.Paint(cli.Dim, fmt.Sprintf("%12s", label)), cli.Visible(fmt.Sprintf(format, args...)))
	}
	// Painted text holds escape sequences of our own, which Visible would show.
	painted := func(label, text string) {
		fmt.Fprintf(&b, "%s %s\n", env.Paint(cli.Dim, fmt.Sprintf("%12s", label)), text)
	}
	painted("observed", env.Paint(styleOf(o), string(o.State))+fmt.Sprintf(" (confidence %s)", o.Confidence))
	for _, u := range o.Unmet {
		line("unmet", "%s: %s", u.Predicate, u.Message)
	}
	for _, c := range o.Conflicts {
		line("conflict", "%s: %s", c.Code, c.Message)
	}
	for _, e := range together(o.InspectionErrors) {
		line("unread", "%s: %s", e.Source, e.Message)
	}
	for _, u := range doc.Unread {
		line("unread", "%s", u)
	}
	line("desired", "%s", orWord(string(doc.Desired), "nothing since boot"))
	switch {
	case o.State == mode.Transitioning:
		line("reconcile", "under way: %s", underWay(doc))
	case doc.Needed:
		line("reconcile", "needed: mode reconcile brings the machine to %s", doc.Desired)
	default:
		line("reconcile", "not needed")
	}
	for _, g := range doc.BlockedBy {
		kind := "soft"
		if g.Hard {
			kind = "hard"
		}
		line("blocked", "%s (%s, %s): %s", g.Guard, kind, g.Reason, g.Message)
	}
	if doc.Last != nil {
		line("last", "%s", lastLine(*doc.Last, time.Now()))
	} else {
		line("last", "no transition since boot")
	}
	line("sessions", "%s", sessionsLine(o.Signals.Sessions))
	line("login path", "%s", loginLine(o.Signals.LoginPath))
	line("vllm", "%s", vllmLine(cfg, o.Signals.VLLM))
	line("placement", "studio %s, ai %s, platform %s", doc.Placement.Studio, doc.Placement.AI, doc.Placement.Platform)
	line("gpus", "%s", gpuLine(doc.Hardware))
	line("idle", "%s", doc.Idle)
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}

// together names the sources that failed for the same reason in one line.
func together(list []observe.InspectionError) []observe.InspectionError {
	var out []observe.InspectionError
	for _, e := range list {
		e.Source, _, _ = strings.Cut(e.Source, " (")
		i := slices.IndexFunc(out, func(o observe.InspectionError) bool { return o.Message == e.Message })
		if i < 0 {
			out = append(out, e)
			continue
		}
		out[i].Source += ", " + e.Source
	}
	return out
}

func styleOf(o observe.Observation) cli.Style {
	_, stable := o.State.Stable()
	switch {
	case stable:
		return cli.Green
	case o.State == mode.FailedTransition || o.State == mode.Unknown:
		return cli.Red
	default:
		return cli.Yellow
	}
}

func underWay(doc status) string {
	if doc.Transition == nil {
		return doc.Observation.Signals.Controller.Value.HolderMode
	}
	s := string(doc.Transition.Requested)
	for _, a := range doc.Transition.Steps {
		if a.Status == record.Running {
			s += ", now: " + a.Title
		}
	}
	return s
}

func lastLine(ev record.Event, now time.Time) string {
	when := ev.Timestamp
	if t, err := time.Parse(time.RFC3339, ev.Timestamp); err == nil {
		when = ago(now.Sub(t))
	}
	s := fmt.Sprintf("%s -> %s: %s, %s", ev.Prior, ev.Requested, ev.Outcome, when)
	switch ev.Outcome {
	case record.Converged, record.Noop:
	case record.Blocked, record.CheckError: // what blocked it has a line of its own
		s += fmt.Sprintf(" (exit code %d)", ev.ExitCode)
	default:
		s += fmt.Sprintf(" (exit code %d): %s", ev.ExitCode, ev.Reason)
	}
	return s
}

func sessionsLine(r evidence.Reading[[]evidence.Session]) string {
	if !r.Known() {
		return "could not be read"
	}
	var s []string
	for _, x := range r.Value {
		if x.Graphical() || x.Greeter() {
			s = append(s, fmt.Sprintf("%s %s %s of %s on %s (%s)", x.Type, x.Class, x.ID, x.User, orWord(x.Seat, "no seat"), x.State))
		}
	}
	return orWord(strings.Join(s, ", "), "no graphical session")
}

func loginLine(r evidence.Reading[[]evidence.Unit]) string {
	if !r.Known() {
		return "could not be read"
	}
	var s []string
	for _, u := range r.Value {
		s = append(s, u.String())
	}
	return orWord(strings.Join(s, ", "), "console")
}

func vllmLine(cfg config.Config, r evidence.Reading[evidence.VLLM]) string {
	switch v := r.Value; {
	case !r.Known():
		return "could not be read"
	case v.Unit.Down() && !v.Enabled:
		return "not enabled"
	case v.Health == evidence.HealthNotAsked:
		return v.Unit.String()
	default:
		return fmt.Sprintf("%s, %s at %s:%d%s", v.Unit, v.Health, cfg.VLLM.Host, cfg.VLLM.Port, served(v))
	}
}

// served tells what a healthy vLLM serves.
func served(v evidence.VLLM) string {
	switch {
	case v.Health != evidence.Healthy:
		return ""
	case v.ModelsError != "":
		return ", its models could not be read (" + v.ModelsError + ")"
	default:
		return ", serves " + orWord(strings.Join(v.Models, ", "), "no model")
	}
}

func gpuLine(h hardware) string {
	if len(h.PresentGPUs) == 0 {
		return "none configured"
	}
	display := "none"
	if h.DisplayGPU != nil {
		display = fmt.Sprint(*h.DisplayGPU)
	}
	return fmt.Sprintf("present %s, display %s, compute %s", numbers(h.PresentGPUs), display, numbers(h.ComputeGPUs))
}

func numbers(list []int) string {
	var s []string
	for _, n := range slices.Sorted(slices.Values(list)) {
		s = append(s, fmt.Sprint(n))
	}
	return orWord(strings.Join(s, ","), "none")
}

func orWord(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// worstOf is the exit code of guard results.
func worstOf(results []guard.Result) error {
	if worst := guard.Worst(results); worst != nil {
		return cli.Status(worst.Code)
	}
	return cli.Status(exitcode.OK)
}
