package programs

import (
	"fmt"
	"time"

	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/plan"
)

// bounds is plan.Bounds as documents have it.
type bounds struct {
	ObserveMS int64 `json:"observe_ms"`
	GuardsMS  int64 `json:"guards_ms"`
	StepsMS   int64 `json:"steps_ms"`
	SettleMS  int64 `json:"settle_ms"`
	ForwardMS int64 `json:"forward_ms"` // the sum of these
	BackMS    int64 `json:"back_ms"`    // the way back from a failure
	WholeMS   int64 `json:"whole_ms"`   // both
}

func boundsOf(b plan.Bounds) bounds {
	return bounds{
		ObserveMS: b.Observe.Milliseconds(), GuardsMS: b.Guards.Milliseconds(), StepsMS: b.Steps.Milliseconds(),
		SettleMS: b.Settle.Milliseconds(), ForwardMS: b.Forward.Milliseconds(), BackMS: b.Back.Milliseconds(), WholeMS: b.Whole.Milliseconds(),
	}
}

// boundTable prints every deadline of a transition, and their sum.
func boundTable(env *cli.Env, p plan.Plan, b plan.Bounds) error {
	t := env.NewTable("STEP", "ACTION", "BOUND", "WHY", "SKIPPED")
	t.Row("", "observe, and keep the machine up", b.Observe.String(), "what is planned rests on evidence", "")
	t.Row("", "run the guards, all at the same time", b.Guards.String(), "nothing is touched before they pass", "")
	for i, s := range p.Steps {
		title := s.Title()
		for _, g := range s.Guards {
			title += " check_" + g
		}
		bound := s.Bound
		if !p.Counts(s) {
			bound = 0
		}
		t.Row(fmt.Sprint(i+1), title, bound.String(), s.Why, s.Skip)
	}
	t.Row("", "observe until the mode shows", b.Settle.String(), "success is what the last observation shows", "")
	t.Row("", "sum", b.Forward.String(), "", "")
	t.Row("", "the way back, if something fails", b.Back.String(), "the prior mode is restored and observed", "")
	t.Row("", "sum of both", b.Whole.Round(time.Millisecond).String(), "", "")
	return t.Write()
}
