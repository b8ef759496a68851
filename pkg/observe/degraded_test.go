package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/mode"
)

// TestAcceptable holds that what a site accepts is told as degraded, with the
// guarantee that is not met and without a conflict, and what it does not accept
// as before.
func TestAcceptable(t *testing.T) {
	left := compute(func(ev *evidence.Evidence) {
		ev.LoginPath.Value = append(ev.LoginPath.Value, unit("seatd.service", "active"))
	})
	both := []string{DisplayManager, "seatd.service"}
	for name, tt := range map[string]struct {
		ev         evidence.Evidence
		p          Policy
		state      mode.State
		confidence Confidence
		unmet      []Unmet
		conflicts  []ConflictCode
	}{
		"all GPUs":               {compute(nil), Policy{ComputeGPUs: 2, PlannedGPUs: 2}, mode.StateCompute, High, nil, nil},
		"nothing is planned":     {compute(nil), Policy{ComputeGPUs: 1}, mode.StateCompute, High, nil, nil},
		"fewer than planned":     {compute(nil), Policy{ComputeGPUs: 1, PlannedGPUs: 2}, mode.DegradedCompute, High, []Unmet{{GPUsPlanned, "compute has 1 of 2 planned GPUs"}}, nil},
		"it is compute's alone":  {desktop(nil), Policy{ComputeGPUs: 1, PlannedGPUs: 2, LoginPath: []string{DisplayManager}}, mode.StateDesktop, High, nil, nil},
		"a unit left, tolerated": {left, Policy{LoginPath: both, Tolerated: []string{"seatd.service"}}, mode.DegradedCompute, High, []Unmet{{LoginPathStopped, "seatd.service is active"}}, nil},
		"a unit left":            {left, Policy{LoginPath: both}, mode.DegradedCompute, Low, nil, []ConflictCode{LoginPathInCompute}},
		"another is tolerated":   {left, Policy{LoginPath: both, Tolerated: []string{DisplayManager}}, mode.DegradedCompute, Low, nil, []ConflictCode{LoginPathInCompute}},
		"a session is left as well": {compute(func(ev *evidence.Evidence) {
			ev.LoginPath.Value[0].Active = "active"
			ev.Sessions.Value = append(ev.Sessions.Value, person)
		}), Policy{LoginPath: both, Tolerated: both}, mode.DegradedCompute, Low, []Unmet{
			{NoGraphical, "wayland session 2 of ada"}, {LoginPathStopped, DisplayManager + " is active"},
		}, []ConflictCode{SessionInCompute}},
	} {
		t.Run(name, func(t *testing.T) {
			o := Classify(tt.ev, tt.p)
			var codes []ConflictCode
			for _, c := range o.Conflicts {
				codes = append(codes, c.Code)
			}
			unmet := o.Unmet
			if len(unmet) == 0 {
				unmet = nil
			}
			if o.State != tt.state || o.Confidence != tt.confidence {
				t.Errorf("%s with confidence %s, want %s with %s", o.State, o.Confidence, tt.state, tt.confidence)
			}
			if diff := cmp.Diff(tt.unmet, unmet) + cmp.Diff(tt.conflicts, codes); diff != "" {
				t.Error(diff)
			}
		})
	}
}
