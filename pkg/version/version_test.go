package version

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestRender(t *testing.T) {
	platform := []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"}}
	withVCS := append([]debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Key: "vcs.modified", Value: "true"},
	}, platform...)
	build := func(main string, settings []debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: main}, Settings: settings}
	}
	for _, tt := range []struct {
		name, version, commit string
		info                  *debug.BuildInfo
		want                  string
	}{
		{"stamped", "0.3.0", "0123abc", build("(devel)", platform), "0.3.0 (commit 0123abc, go1.26.8, linux/arm64)"},
		{"stamped version only", "0.3.0", "", build("(devel)", platform), "0.3.0 (go1.26.8, linux/arm64)"},
		{"unstamped, built without version control", "", "", build("(devel)", platform), "devel (go1.26.8, linux/arm64)"},
		{"unstamped, no version recorded", "", "", build("", nil), "devel (go1.26.8)"},
		{"unstamped, with version control", "", "", build("(devel)", withVCS), "devel (commit 0123456789ab, modified, go1.26.8, linux/arm64)"},
		{"installed as a module", "", "", build("v0.4.1", platform), "v0.4.1 (go1.26.8, linux/arm64)"},
		{"the stamp wins", "0.3.0", "0123abc", build("v0.4.1", platform), "0.3.0 (commit 0123abc, go1.26.8, linux/arm64)"},
		{"no build information", "", "", nil, "devel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := gocmp.Diff(tt.want, render(tt.version, tt.commit, tt.info)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStringOfThisBinary(t *testing.T) {
	got, want := String(), cmp.Or(Version, unstamped)
	if !strings.HasPrefix(got, want+" (") || !strings.Contains(got, runtime.Version()) {
		t.Errorf("String() = %q, want it to begin with %q and to name %s", got, want, runtime.Version())
	}
}
