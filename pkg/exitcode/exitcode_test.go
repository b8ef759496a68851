package exitcode

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

// TestBands goes through every status that a process can end with, and the -1
// of one that was killed.
func TestBands(t *testing.T) {
	for c := Code(-1); c <= 255; c++ {
		want := BandOutside
		switch {
		case c == 0:
			want = BandPass
		case c >= 10 && c < 20:
			want = BandBlock
		case c >= 20 && c < 30:
			want = BandError
		case c >= 30 && c < 33:
			want = BandMisuse
		case c >= 40 && c < 46:
			want = BandTransition
		}
		if got := c.Band(); got != want {
			t.Errorf("%d is in the band %s, want %s", c, got, want)
		}
		if (c.Meaning() == fmt.Sprintf("exit status %d, outside the contract", c)) != (want == BandOutside) {
			t.Errorf("%d of the band %s means %q", c, want, c.Meaning())
		}
	}
}

// TestTable holds the numbers: other people's scripts have them by heart.
func TestTable(t *testing.T) {
	numbers := map[Code]int{
		OK: 0, AudioActive: 10, DisplayGPUOwned: 11, CPULoadHigh: 12, UserJobsActive: 13, MemoryLow: 14, VLLMNotDrainable: 15,
		GraphicalAbsent: 16, GraphicalPresent: 17, TargetUnreachable: 18, CapabilityNotPlaced: 19, Inspection: 20,
		Usage: 30, Config: 31, Internal: 32, RolledBack: 40, Failed: 41, Degraded: 42, TimedOut: 43, Locked: 44, NotPermitted: 45,
	}
	last := Code(-1)
	for _, e := range Table() {
		if int(e.Code) != numbers[e.Code] || e.Code <= last || e.Meaning == "" || e.Code.Meaning() != e.Meaning {
			t.Errorf("%+v after %d, and it means %q", e, last, e.Code.Meaning())
		}
		last = e.Code
		delete(numbers, e.Code)
	}
	if len(numbers) > 0 {
		t.Errorf("the table lacks %v", numbers)
	}
}

func TestInspectionOf(t *testing.T) {
	for c := AudioActive; c <= CapabilityNotPlaced; c++ {
		if got := c.InspectionOf(); got != c+10 || got.Band() != BandError {
			t.Errorf("%d: %d", c, got)
		}
	}
}

func TestErrors(t *testing.T) {
	err := fmt.Errorf("start: %w", Errorf(Locked, "take the lock: %w", fs.ErrExist))
	var coder Coder
	if !errors.As(err, &coder) || coder.ExitCode() != Locked || !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v lost its code or its cause", err)
	}
	if got, want := err.Error(), "start: take the lock: file already exists"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := With(Config, nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	if err := With(Config, fs.ErrPermission); !errors.As(err, &coder) || coder.ExitCode() != Config || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v lost its code or its cause", err)
	}
}
