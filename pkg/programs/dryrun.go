package programs

import (
	"context"
	"fmt"
	"io"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/plan"
	"github.com/ryjen/dubnium/pkg/reconcile"
)

// preview is the document of a dry run.
type preview struct {
	SchemaVersion int            `json:"schema_version"`
	Plan          plan.Plan      `json:"plan"`
	Guards        []guard.Result `json:"guards"`
	Blocked       bool           `json:"blocked"`
	BoundMS       int64          `json:"bound_ms"` // Bound.ForwardMS
	Bound         bounds         `json:"bound"`
	sum           plan.Bounds
	ExitCode      exitcode.Code `json:"exit_code"`
}

// dryRun prints what a transition would do, with its guards evaluated. Its
// exit code is the one that the request would end with, as far as the guards
// can tell.
func dryRun(ctx context.Context, env *cli.Env, eng *reconcile.Engine, target mode.Mode, format cli.Format) error {
	_, p := eng.Plan(ctx, target)
	b := p.Bound(eng.Config)
	doc := preview{SchemaVersion: 1, Plan: p, BoundMS: b.Forward.Milliseconds(), Bound: boundsOf(b), sum: b, Guards: []guard.Result{}}
	if !p.Noop {
		doc.Guards = eng.Host.Guards(ctx, p.Guards, target, false)
	}
	if worst := guard.Worst(doc.Guards); worst != nil {
		doc.Blocked, doc.ExitCode = true, worst.Code
	}
	if err := env.Print(format, doc, func(io.Writer) error { return writePreview(env, doc) }); err != nil {
		return err
	}
	return cli.Status(doc.ExitCode)
}

func writePreview(env *cli.Env, doc preview) error {
	p := doc.Plan
	if p.Noop {
		_, err := fmt.Fprintf(env.Stdout, "The machine is in %s already: nothing would be done.\n", p.To)
		return err
	}
	fmt.Fprintf(env.Stdout, "From %s to %s, by the row %q; at most %v.\n\n", p.From, p.To, p.Row, doc.sum.Forward)
	if err := guardTable(env, doc.Guards); err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout)
	if err := boundTable(env, p, doc.sum); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "\nSuccess is observed as: %s.\n", p.Success)
	if worst := guard.Worst(doc.Guards); worst != nil {
		fmt.Fprintf(env.Stdout, "%s by %s: %s (exit code %d)\n", env.Paint(cli.Red, "Blocked"), worst.Guard, cli.Visible(worst.Message), worst.Code)
	}
	return nil
}

// guardTable prints guard results.
func guardTable(env *cli.Env, results []guard.Result) error {
	t := env.NewTable("GUARD", "RESULT", "HARD", "TIME", "REASON", "MESSAGE")
	for _, r := range results {
		hard := "soft"
		if r.Hard {
			hard = "hard"
		}
		t.Row(r.Guard, string(r.Class), hard, short(r.DurationMS), r.Reason, r.Message)
	}
	return t.Write()
}
