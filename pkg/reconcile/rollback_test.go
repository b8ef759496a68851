package reconcile

import (
	"fmt"
	"testing"

	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

// TestClassify holds that a transition is told as rolled back where the mode
// that it went back to is there in full, whatever the machine was before, and
// nowhere else.
func TestClassify(t *testing.T) {
	for _, after := range mode.States() {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("desktop, then %s, late %v", after, late), func(t *testing.T) {
				want, code := record.Failed, exitcode.Failed
				switch after {
				case mode.StateDesktop:
					want, code = record.RolledBack, exitcode.RolledBack
					if late {
						want, code = record.TimedOut, exitcode.TimedOut
					}
				case mode.DegradedDesktop, mode.StateStudioLocal, mode.DegradedStudioLocal, mode.StateCompute, mode.DegradedCompute:
					want, code = record.Degraded, exitcode.Degraded
				}
				if got, gotCode := classify(mode.Desktop, after, late); got != want || gotCode != code {
					t.Errorf("%s with %d, want %s with %d", got, gotCode, want, code)
				}
			})
		}
	}
}
