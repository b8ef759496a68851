package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

// patience is a guard that tells how long it may wait, and until when.
func patience(t *testing.T, waits bool) guard.Descriptor {
	d := guard.Descriptor{
		Name: "patience", Question: "Is there patience?", Manual: "It is for tests.", Block: exitcode.VLLMNotDrainable, Target: mode.Desktop,
		Reasons: []guard.Reason{{Word: "told", Class: guard.Pass, Meaning: "it told"}},
		Check: func(ctx context.Context, env guard.Env) guard.Verdict {
			left := time.Duration(0)
			if deadline, ok := ctx.Deadline(); ok {
				left = time.Until(deadline).Round(time.Second)
			}
			return guard.Say("told", map[string]string{"wait": env.Wait.String(), "left": left.String()}, "told")
		},
	}
	if waits {
		d.Wait = func(c config.Config) time.Duration { return c.VLLM.DrainTimeout.Std() }
	}
	return d
}

func TestGuardWaits(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, DefaultConfig)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("[vllm]\ndrainTimeout = \"90s\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args       string
		wait, left string
	}{
		{"", "0s", "5s"},
		{"--timeout=20s", "0s", "20s"},
		{"--wait", "1m30s", "1m35s"},
		{"--wait --timeout=20s", "1m30s", "1m50s"},
		{"--wait --timeout=0", "1m30s", "0s"},
	}
	for _, tt := range tests {
		var out, diag strings.Builder
		args := append(strings.Fields(tt.args), "--root="+root)
		code := Execute(GuardProgram(patience(t, true)), args, nil, &out, &diag, os.Getenv)
		var r struct {
			Evidence struct{ Wait, Left string }
		}
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil || code != exitcode.OK || diag.Len() > 0 {
			t.Fatalf("%q: %v, code %d, %s%s", tt.args, err, code, out.String(), diag.String())
		}
		if r.Evidence.Wait != tt.wait || r.Evidence.Left != tt.left {
			t.Errorf("%q: it may wait %s of %s, want %s of %s", tt.args, r.Evidence.Wait, r.Evidence.Left, tt.wait, tt.left)
		}
	}
}

// TestOnlyGuardsThatWaitHaveTheFlag keeps the flag from the others.
func TestOnlyGuardsThatWaitHaveTheFlag(t *testing.T) {
	for waits, want := range map[bool]exitcode.Code{true: exitcode.OK, false: exitcode.Usage} {
		p := GuardProgram(patience(t, waits))
		if err := Check(p); err != nil {
			t.Error(err)
		}
		var out, diag strings.Builder
		if code := Execute(p, []string{"--wait", "--root=" + t.TempDir()}, nil, &out, &diag, os.Getenv); code != want {
			t.Errorf("a guard that waits %v: code %d, want %d: %s", waits, code, want, out.String())
		}
	}
}
