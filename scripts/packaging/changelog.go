package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	changes  = "docs/changelog.md"
	packager = "Dubnium maintainers <ryjen@users.noreply.github.com>"
)

// release is a section of the changelog.
type release struct {
	version string
	date    time.Time // zero while it is not released
	items   []string
}

var heading = regexp.MustCompile(`^## (\d\S*)(?: \((\d{4}-\d\d-\d\d)\))?$`)

// parseChangelog reads "## VERSION (YYYY-MM-DD)" and the list items below; the
// newest comes first, and may have no date yet.
func parseChangelog(text string) ([]release, error) {
	var all []release
	for n, line := range strings.Split(text, "\n") {
		last := len(all) - 1
		switch m := heading.FindStringSubmatch(line); {
		case m != nil:
			r := release{version: m[1]}
			if m[2] != "" {
				var err error
				if r.date, err = time.Parse(time.DateOnly, m[2]); err != nil {
					return nil, fmt.Errorf("%s:%d: %w", changes, n+1, err)
				}
			} else if len(all) > 0 {
				return nil, fmt.Errorf("%s:%d: only the newest release may have no date: write ## VERSION (YYYY-MM-DD)", changes, n+1)
			}
			all = append(all, r)
		case strings.HasPrefix(line, "## "):
			return nil, fmt.Errorf("%s:%d: not a release: write ## VERSION (YYYY-MM-DD)", changes, n+1)
		case strings.HasPrefix(line, "- ") && last >= 0:
			all[last].items = append(all[last].items, line[2:])
		case strings.HasPrefix(line, "  ") && last >= 0 && len(all[last].items) > 0:
			all[last].items[len(all[last].items)-1] += " " + strings.TrimSpace(line)
		}
	}
	if len(all) == 0 {
		return nil, errors.New(changes + ": has no release: write ## VERSION (YYYY-MM-DD)")
	}
	return all, nil
}

// changelog prints it as Debian's packages have it. Its first entry is the
// version that is packaged, which may be some commits after the newest release.
func changelog(out io.Writer, version string) error {
	text, err := os.ReadFile(changes)
	if err != nil {
		return err
	}
	all, err := parseChangelog(string(text))
	if err != nil {
		return err
	}
	now, err := epoch()
	if err != nil {
		return err
	}
	if all[0].version == version {
		all[0].date = now
	} else {
		all = append([]release{{version, now, []string{"Built from the commits after " + all[0].version + "."}}}, all...)
		if all[1].date.IsZero() {
			all[1].date = now
		}
	}
	for i, r := range all {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "dubnium (%s) unstable; urgency=medium\n\n", r.version)
		for _, item := range r.items {
			fmt.Fprintf(out, "  * %s\n", strings.ReplaceAll(wrap(item, 74), "\n", "\n    "))
		}
		fmt.Fprintf(out, "\n -- %s  %s\n", packager, r.date.Format(time.RFC1123Z))
	}
	return nil
}

// wrap breaks a text into lines of width bytes, where its words allow.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
