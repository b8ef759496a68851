package textfile

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// series are the samples of a text, by name and labels.
type series map[string]float64

var (
	commentLine = regexp.MustCompile(`^# (HELP|TYPE) ([a-zA-Z_][a-zA-Z0-9_]*) (.+)$`)
	sampleLine  = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)(\{.*\})? (\S+)$`)
	labelPair   = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(,|$)`)
)

// parse reads the text exposition format as strictly as Prometheus' own linter:
// each metric in one piece, its HELP and TYPE before its samples, no
// timestamps, nothing twice, and a newline at the very end.
func parse(text string) (series, error) {
	if text == "" {
		return series{}, nil
	}
	if !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the last line has no newline")
	}
	out, types, helped, done, current := series{}, map[string]string{}, map[string]bool{}, map[string]bool{}, ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(format string, args ...any) (series, error) {
			return nil, fmt.Errorf("line %d: %s: %s", i+1, fmt.Sprintf(format, args...), line)
		}
		if m := commentLine.FindStringSubmatch(line); m != nil {
			if m[2] != current {
				if done[m[2]] {
					return fail("%s is in two pieces", m[2])
				}
				current, done[m[2]] = m[2], true
			}
			switch {
			case m[1] == "HELP" && helped[m[2]], m[1] == "TYPE" && types[m[2]] != "":
				return fail("twice")
			case m[1] == "HELP":
				helped[m[2]] = true
			case m[3] != "gauge" && m[3] != "counter" && m[3] != "summary":
				return fail("no type")
			default:
				types[m[2]] = m[3]
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			return fail("neither a comment nor a sample")
		}
		base := m[1]
		if types[current] == "summary" {
			base = strings.TrimSuffix(strings.TrimSuffix(base, "_sum"), "_count")
		}
		if base != current || types[current] == "" || !helped[current] {
			return fail("a sample without its HELP and TYPE before it")
		}
		if (types[current] == "counter") != strings.HasSuffix(current, "_total") {
			return fail("a %s of this name", types[current])
		}
		if err := labels(m[2]); err != nil {
			return fail("%v", err)
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return fail("%v", err)
		}
		if _, twice := out[m[1]+m[2]]; twice {
			return fail("twice")
		}
		out[m[1]+m[2]] = value
	}
	return out, nil
}

func labels(text string) error {
	if text == "" {
		return nil
	}
	seen := map[string]bool{}
	for rest := text[1 : len(text)-1]; rest != ""; {
		m := labelPair.FindStringSubmatch(rest)
		if m == nil {
			return fmt.Errorf("labels end at %q", rest)
		}
		if seen[m[1]] {
			return fmt.Errorf("label %s twice", m[1])
		}
		seen[m[1]] = true
		if rest = rest[len(m[0]):]; rest == "" && m[3] == "," {
			return errors.New("a comma at the end")
		}
	}
	return nil
}
