package programs

import (
	"context"
	"fmt"
	"io"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/guards"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/record"
)

type explainCmd struct {
	output `embed:""`
	Target string `arg:"" optional:"" name:"mode" help:"The mode to explain: desktop, studio-local or compute; without it, all of them."`
}

// explanation is the document of mode explain, one a mode.
type explanation struct {
	SchemaVersion int       `json:"schema_version"`
	Mode          mode.Mode `json:"mode"`
	Intent        string    `json:"intent"`
	Success       string    `json:"success"`
	Ways          []way     `json:"ways"`
}

// way is a plan with what bounds it in time.
type way struct {
	plan.Plan
	Bound bounds `json:"bound"`
	sum   plan.Bounds
}

// intents says what each mode is for.
var intents = map[mode.Mode]string{
	mode.Desktop:     "Interactive work: a graphical session or a login screen, ordinary audio, the display GPU for the display, vLLM off.",
	mode.StudioLocal: "Low-latency audio, as an overlay on desktop: the session stays, slice weights favour it, AI work is off.",
	mode.Compute:     "Headless throughput: no graphical session, the GPUs for inference, vLLM healthy when it is enabled.",
}

// Run explains modes.
func (c *explainCmd) Run(_ context.Context, env *cli.Env) error {
	cfg, err := load(env)
	if err != nil {
		return err
	}
	targets := mode.All()
	if c.Target != "" {
		target, err := targetOr(c.Target, record.Store{Root: env.Root})
		if err != nil {
			return err
		}
		targets = []mode.Mode{target}
	}
	docs := []explanation{}
	for _, m := range targets {
		doc := explanation{SchemaVersion: 1, Mode: m, Intent: intents[m], Ways: []way{}}
		for _, t := range mode.Transitions() {
			if t.To == m {
				p := plan.ForState(t.From.State(), m, cfg)
				b := p.Bound(cfg)
				doc.Success, doc.Ways = p.Success, append(doc.Ways, way{p, boundsOf(b), b})
			}
		}
		docs = append(docs, doc)
	}
	return env.Print(c.format(), docs, func(io.Writer) error {
		for i, doc := range docs {
			if i > 0 {
				fmt.Fprintln(env.Stdout)
			}
			if err := writeExplanation(env, doc); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeExplanation(env *cli.Env, doc explanation) error {
	fmt.Fprintf(env.Stdout, "%s\n%s\nIt is observed as: %s.\n", env.Paint(cli.Bold, string(doc.Mode)), doc.Intent, doc.Success)
	for _, p := range doc.Ways {
		fmt.Fprintf(env.Stdout, "\n%s, at most %v\n", env.Paint(cli.Cyan, p.Row), p.sum.Forward)
		t := env.NewTable("GUARD", "KIND", "CODE", "ASKS")
		for _, name := range append(append([]string{}, p.Guards...), gatesOf(p.Plan)...) {
			d, _ := guards.Find(name)
			kind := "soft"
			if d.Hard {
				kind = "hard"
			}
			t.Row(d.Binary(), kind, fmt.Sprint(int(d.Block)), d.Question)
		}
		if err := t.Write(); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
		if err := boundTable(env, p.Plan, p.sum); err != nil {
			return err
		}
	}
	return nil
}

func gatesOf(p plan.Plan) []string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.Guards...)
	}
	return out
}
