package rank

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wednesday is when the questions are asked.
var wednesday = time.Date(2024, 5, 15, 9, 30, 0, 0, time.UTC)

// show writes periods as days.
func show(periods []Period) string {
	var all []string
	for _, p := range periods {
		layout := "2006-01-02"
		if p.Yearly {
			layout = "01-02"
		}
		s := timeOf(p.From).Format(layout)
		if p.To != p.From {
			s += ".." + timeOf(p.To).Format(layout)
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestDates(t *testing.T) {
	for text, want := range map[string]string{
		"What broke on 2023-05-07?":             "2023-05-07",
		"on 2023/5/7":                           "2023-05-07",
		"in 2023-05":                            "2023-05-01..2023-05-31",
		"on 7 May 2023":                         "2023-05-07",
		"on 7 May, 2023":                        "2023-05-07",
		"on the 7th of May, 2023,":              "2023-05-07",
		"on the 7th of may":                     "05-07",
		"On May 7th, 2023 who":                  "2023-05-07",
		"on May 7":                              "05-07",
		"on Feb 29":                             "02-29",
		"on 29 February 2023":                   "",
		"on 31 Sept 2023":                       "",
		"on 3 Dec 2022":                         "2022-12-03",
		"on 07.05.2023":                         "2023-05-07 2023-07-05",
		"on 5/5/2023":                           "2023-05-05",
		"on 13/7/2023":                          "2023-07-13",
		"in May 2023":                           "2023-05-01..2023-05-31",
		"in February of 2024":                   "2024-02-01..2024-02-29",
		"what happened in may":                  "05-01..05-31",
		"may I march there":                     "",
		"Did she march in March?":               "03-01..03-31",
		"in 2022":                               "2022-01-01..2022-12-31",
		"between August 11 and August 15 2023":  "08-11 2023-08-15",
		"2000 dollars? 12 of 300":               "2000-01-01..2000-12-31",
		"What was done yesterday":               "2024-05-14",
		"and today":                             "2024-05-15",
		"last week":                             "2024-05-06..2024-05-12",
		"this week":                             "2024-05-13..2024-05-19",
		"last weekend":                          "2024-05-11..2024-05-12",
		"last Wednesday":                        "2024-05-08",
		"last Friday":                           "2024-05-10",
		"this Monday":                           "2024-05-13",
		"last month":                            "2024-04-01..2024-04-30",
		"this year":                             "2024-01-01..2024-12-31",
		"last year":                             "2023-01-01..2023-12-31",
		"3 days ago":                            "2024-05-12",
		"two weeks ago":                         "2024-04-28..2024-05-04",
		"a month ago":                           "2024-04-01..2024-04-30",
		"ten years ago":                         "2014-01-01..2014-12-31",
		"5 minutes ago":                         "2024-05-15",
		"99999 days ago":                        "",
		"version 1.2.3 of 10.0.0.1, 2023-99-99": "2023-01-01..2023-12-31",
		"":                                      "",
		"¿Qué pasó el 2023-05-07? …":            "2023-05-07",
		strings.Repeat("2023-05-07 ", 100):      strings.TrimSpace(strings.Repeat("2023-05-07 ", maxPeriods)),
		"When did Ann paint, in June or July 2021": "06-01..06-30 2021-07-01..2021-07-31",
	} {
		if diff := cmp.Diff(want, show(Analyse(text, nil, wednesday).Periods)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	if p := Analyse("yesterday, last week, 3 days ago", nil, time.Time{}).Periods; len(p) != 0 {
		t.Errorf("what is relative to no instant is %s", show(p))
	}
}

func TestNear(t *testing.T) {
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tt := range []struct {
		text, when string
		want       float64
	}{
		{"7 May 2023", "2023-05-07T23:59:59Z", 1},
		{"7 May 2023", "2023-05-08T10:00:00Z", 1},
		{"7 May 2023", "2023-05-09T10:00:00+12:00", 1},
		{"7 May 2023", "2023-05-14T10:00:00Z", 0.5},
		{"7 May 2023", "2023-05-15T00:00:00Z", 0},
		{"7 May 2023", "2022-05-07T00:00:00Z", 0},
		{"7 May", "1999-05-07T00:00:00Z", 1},
		{"on 31 December", "2020-01-01T00:00:00Z", 1},
		{"on 1 January", "2020-12-30T00:00:00Z", 0.5},
		{"on 29 February", "2023-03-01T00:00:00Z", 1},
		{"in May 2023", "2023-05-31T00:00:00Z", 1},
		{"in May 2023", "2023-06-01T00:00:00Z", 0},
		{"in May", "1960-05-31T00:00:00Z", 1},
		{"in 2023", "2023-12-31T23:00:00Z", 1},
		{"in 2023", "2024-01-01T00:00:00Z", 0},
		{"1 January 1960", "1959-12-31T12:00:00Z", 1},
	} {
		periods := Analyse(tt.text, nil, time.Time{}).Periods
		if len(periods) != 1 {
			t.Fatalf("%q has %d dates", tt.text, len(periods))
		}
		if got := periods[0].Near(at(tt.when)); got != tt.want {
			t.Errorf("%s is %v near to %s, want %v", tt.when, got, tt.text, tt.want)
		}
	}
}

func TestAsks(t *testing.T) {
	for text, want := range map[string]string{
		"When did it break?":                  "when",
		"How long was the outage":             "when",
		"how many days did it take?":          "when",
		"How many people came?":               "",
		"In which year did she move?":         "when",
		"What date is the review":             "when",
		"What is the date of the review":      "when",
		"What is the colour of the logo":      "",
		"Who broke it, and when?":             "when name",
		"Where is the key?":                   "name",
		"Which host has the key?":             "name",
		"whose key":                           "name",
		"restart the memory service whenever": "",
	} {
		q := Analyse(text, nil, time.Time{})
		var got []string
		if q.When {
			got = append(got, "when")
		}
		if q.Name {
			got = append(got, "name")
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestSpeakersThatAreNamed(t *testing.T) {
	speakers := []string{"Ann Lee", "Bob", "Will", "agent-7", "Lee Roth", "Zoë", "日本"}
	for text, want := range map[string][]string{
		"What did Ann's boss say":        {"Ann Lee"},
		"what did ann lee say":           {"Ann Lee"},
		"what did Lee say":               {"Ann Lee", "Lee Roth"},
		"what did Bob tell Ann":          {"Bob", "Ann Lee"},
		"Will it rain":                   nil,
		"what did will say":              nil,
		"what did Will say":              {"Will"},
		"what did agent-7 do":            {"agent-7"},
		"what did zoë do":                {"Zoë"},
		"what did 日本 do":                 {"日本"},
		"annual bobsled":                 nil,
		"":                               nil,
		"what about Ann Lee or Lee Roth": {"Ann Lee", "Lee Roth"},
	} {
		if diff := cmp.Diff(want, Analyse(text, speakers, time.Time{}).Speakers); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func FuzzAnalyse(f *testing.F) {
	for _, s := range []string{"When did Ann go on 7 May, 2023?", "2023-05-07 7.5.2023 last Friday 3 weeks ago", "\xff 0000-00-00 9999999999/1/1", "the 31st of of of May 2099"} {
		f.Add(s, int64(1_700_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, now int64) {
		asOf := time.Unix(now%253_402_300_799, 0)
		q := Analyse(text, []string{"Ann", text}, asOf)
		if len(q.Periods) > maxPeriods {
			t.Errorf("%d dates", len(q.Periods))
		}
		for _, p := range q.Periods {
			if p.From > p.To {
				t.Errorf("%s ends before it begins", show([]Period{p}))
			}
			if near := p.Near(timeOf(p.From)); !p.Yearly && near != 1 {
				t.Errorf("the first day of %+v is %v near to it", p, near)
			}
		}
		if asks(text) && !strings.ContainsAny(text, "?？؟") {
			t.Errorf("%q asks", text)
		}
		tellsTime(text)
		hasName(text, called([]string{text}))
	})
}
