// Package version tells which build of Dubnium a binary is.
package version

import (
	"runtime/debug"
	"strings"
)

// Version and Commit are stamped by the build:
//
//	go build -ldflags "-X github.com/ryjen/dubnium/pkg/version.Version=0.3.0
//	  -X github.com/ryjen/dubnium/pkg/version.Commit=0123abc"
//
// An unstamped build leaves them empty and what the go command recorded in the
// binary stands in.
var (
	Version string
	Commit  string
)

// unstamped is the version of a build that nobody named.
const unstamped = "devel"

// commitLen is how much of a commit hash people get to see.
const commitLen = 12

// String is one line for people: version, commit where it is known, and the Go
// release and platform, as in "0.3.0 (commit 0123abc, go1.26.8, linux/amd64)".
func String() string {
	info, _ := debug.ReadBuildInfo()
	return render(Version, Commit, info)
}

// render lays the line together. A nil info is a binary without build
// information.
func render(version, commit string, info *debug.BuildInfo) string {
	var details []string
	settings := map[string]string{}
	if info != nil {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if version == "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
	}
	if version == "" {
		version = unstamped
	}
	if commit == "" {
		commit = settings["vcs.revision"]
	}
	if commit != "" {
		commit = commit[:min(len(commit), commitLen)]
		if settings["vcs.modified"] == "true" {
			commit += ", modified"
		}
		details = append(details, "commit "+commit)
	}
	if info != nil && info.GoVersion != "" {
		details = append(details, info.GoVersion)
	}
	if settings["GOOS"] != "" && settings["GOARCH"] != "" {
		details = append(details, settings["GOOS"]+"/"+settings["GOARCH"])
	}
	if len(details) == 0 {
		return version
	}
	return version + " (" + strings.Join(details, ", ") + ")"
}
