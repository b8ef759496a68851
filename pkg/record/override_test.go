package record

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
)

const testBoot = "8f8c1d4e-0000-4000-8000-000000000001"

func TestOverrideCountsOnce(t *testing.T) {
	now := time.Date(2026, 5, 28, 0, 0, 0, 0, time.UTC)
	request := func(change func(*OverrideRequest)) OverrideRequest {
		r := OverrideRequest{
			SchemaVersion: 1, Target: mode.Compute, BootID: testBoot, Expires: now.Add(30 * time.Second).Format(TimeFormat),
			Override: Override{ID: "one", Guards: []string{"check_user_jobs_safe"}, Reason: "it can wait", User: "ada", LoginUID: 1000, Used: []string{}},
		}
		if change != nil {
			change(&r)
		}
		return r
	}
	for _, tt := range []struct {
		name    string
		request OverrideRequest
		after   func(t *testing.T, path string)
		target  mode.Mode
		at      time.Time
		given   bool
		fails   bool
		left    bool
	}{
		{name: "taken", request: request(nil), target: mode.Compute, at: now, given: true},
		{name: "at its last moment", request: request(nil), target: mode.Compute, at: now.Add(29 * time.Second), given: true},
		{name: "expired", request: request(nil), target: mode.Compute, at: now.Add(30 * time.Second)},
		{name: "expired, for another target", request: request(nil), target: mode.Desktop, at: now.Add(time.Minute)},
		{name: "of another boot", request: request(func(r *OverrideRequest) { r.BootID = "x" }), target: mode.Compute, at: now},
		{name: "without an end", request: request(func(r *OverrideRequest) { r.Expires = "" }), target: mode.Compute, at: now},
		{name: "for another target", request: request(nil), target: mode.Desktop, at: now, left: true},
		{name: "without a reason", request: request(func(r *OverrideRequest) { r.Reason = "" }), target: mode.Compute, at: now, fails: true},
		{name: "without guards", request: request(func(r *OverrideRequest) { r.Guards = nil }), target: mode.Compute, at: now, fails: true},
		{name: "of somebody else", request: request(nil), target: mode.Compute, at: now, fails: true, after: func(t *testing.T, path string) {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "writable by others", request: request(nil), target: mode.Compute, at: now, fails: true, after: func(t *testing.T, path string) {
			if err := os.Chmod(path, 0o666); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a link to another file", request: request(nil), target: mode.Compute, at: now, fails: true, after: func(t *testing.T, path string) {
			if err := os.Rename(path, path+".real"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path+".real", path); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "garbled", request: request(nil), target: mode.Compute, at: now, fails: true, after: func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := store(t)
			path := s.Root.Path(OverrideFile)
			if err := s.SetOverride(tt.request); err != nil {
				t.Fatal(err)
			}
			if tt.after != nil {
				tt.after(t, path)
			}
			got, err := s.TakeOverride(tt.target, testBoot, tt.at)
			if (err != nil) != tt.fails || (got != nil) != tt.given {
				t.Errorf("got %+v, %v; want one: %v, an error: %v", got, err, tt.given, tt.fails)
			}
			if tt.given {
				if diff := cmp.Diff(tt.request.Override, *got); diff != "" {
					t.Error(diff)
				}
			}
			if _, err := os.Lstat(path); (err == nil) != tt.left {
				t.Errorf("afterwards the request: %v, want it left: %v", err, tt.left)
			}
			if again, _ := s.TakeOverride(tt.target, testBoot, tt.at); again != nil {
				t.Error("it counts twice")
			}
		})
	}
	s := store(t)
	if got, err := s.TakeOverride(mode.Compute, testBoot, now); got != nil || err != nil {
		t.Errorf("without a request: %v, %v", got, err)
	}
	if err := s.SetOverride(request(nil)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"another", "one", "one"} {
		if err := s.DropOverride(id); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(s.Root.Path(OverrideFile)); (err == nil) != (id == "another") {
			t.Errorf("after dropping %s: %v", id, err)
		}
	}
}

func TestOverrideCovers(t *testing.T) {
	o := &Override{Guards: []string{"check_a"}}
	for _, tt := range []struct {
		name string
		o    *Override
		r    guard.Result
		want bool
	}{
		{"a soft block that is named", o, guard.Result{Guard: "check_a", Class: guard.Block}, true},
		{"a soft error that is named", o, guard.Result{Guard: "check_a", Class: guard.Error}, true},
		{"a hard block that is named", o, guard.Result{Guard: "check_a", Class: guard.Block, Hard: true}, false},
		{"another guard", o, guard.Result{Guard: "check_b", Class: guard.Block}, false},
		{"misuse", o, guard.Result{Guard: "check_a", Class: guard.Misuse}, false},
		{"an unknown class", o, guard.Result{Guard: "check_a", Class: "new"}, false},
		{"a pass", o, guard.Result{Guard: "check_a", Class: guard.Pass, OK: true}, false},
		{"no override", nil, guard.Result{Guard: "check_a", Class: guard.Block}, false},
	} {
		if got := tt.o.Covers(tt.r); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
