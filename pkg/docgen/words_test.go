package docgen

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestEveryWordHasItsMeaning holds that a reference page lists no name without
// saying what it means: no item of a list is a name alone, and no column has no
// title or, where it is the one that explains, an empty cell.
func TestEveryWordHasItsMeaning(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	bare := regexp.MustCompile("^- `[^`]+`$")
	explains := regexp.MustCompile("^(what|meaning|why|asks)$")
	rows := 0
	for name, data := range files {
		if path.Dir(name) != "docs" || path.Ext(name) != ".md" {
			continue
		}
		var titles []string
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if bare.MatchString(line) {
				t.Errorf("%s: what is %s?", name, line)
			}
			if !strings.HasPrefix(line, "|") {
				titles = nil
				continue
			}
			var cells []string
			for _, c := range strings.Split(strings.Trim(line, "|"), " | ") {
				cells = append(cells, strings.TrimSpace(c))
			}
			if titles == nil {
				titles = cells
				for _, title := range titles {
					if title == "" {
						t.Errorf("%s: a column without a title: %s", name, line)
					}
				}
			}
			rows++
			for i, c := range cells {
				if c == "" && i < len(titles) && explains.MatchString(titles[i]) {
					t.Errorf("%s: the column %q is empty: %s", name, titles[i], line)
				}
			}
		}
	}
	if rows < 100 {
		t.Errorf("only %d rows were found", rows)
	}
}

// TestEveryMetricIsListed holds that the page has the figures of all who answer
// or write some.
func TestEveryMetricIsListed(t *testing.T) {
	page := string(metricTable())
	for _, name := range []string{"dubnium_observed_state", "dubnium_memory_requests_total", "dubnium_embed_searchable_seconds"} {
		if strings.Count(page, "\n| `"+name+"` |") != 1 {
			t.Errorf("%s is not once on the page", name)
		}
	}
}
