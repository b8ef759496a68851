package programs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// whenForms are the times that people write, in the machine's own zone, from
// the most exact one.
var whenForms = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"}

// maxAgo bounds how long ago something may be: longer than any history.
const maxAgo = 100 * 366 * 24 * time.Hour

// parseWhen reads a time: RFC 3339, a date with or without a time of day in
// now's zone, today, yesterday, or how long it is past.
func parseWhen(text string, now time.Time) (time.Time, error) {
	s := strings.TrimSpace(text)
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch s {
	case "now":
		return now, nil
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, form := range whenForms {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, nil
		}
	}
	past, err := parseAgo(s)
	if err != nil || past < 0 || past > maxAgo {
		return time.Time{}, fmt.Errorf("%q is no time; write 2026-05-28, 2026-05-28 14:00, an RFC 3339 time, today, yesterday, or how long ago: 90m, 12h, 7d", text)
	}
	return now.Add(-past), nil
}

// parseAgo is time.ParseDuration, with days and weeks.
func parseAgo(s string) (time.Duration, error) {
	for unit, of := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, found := strings.CutSuffix(s, unit); found {
			count, err := strconv.ParseUint(n, 10, 16)
			if err != nil {
				return 0, err
			}
			if time.Duration(count) > maxAgo/of {
				return maxAgo + 1, nil
			}
			return time.Duration(count) * of, nil
		}
	}
	return time.ParseDuration(s)
}
