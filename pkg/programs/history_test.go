package programs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/mode"
	"github.com/ryjen/dubnium/pkg/record"
)

func TestParseWhen(t *testing.T) {
	zone := time.FixedZone("there", 2*3600)
	now := time.Date(2026, 5, 28, 14, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"now": now, "today": time.Date(2026, 5, 28, 0, 0, 0, 0, zone), "yesterday": time.Date(2026, 5, 27, 0, 0, 0, 0, zone),
		"2026-05-01": time.Date(2026, 5, 1, 0, 0, 0, 0, zone), " 2026-05-01 08:15 ": time.Date(2026, 5, 1, 8, 15, 0, 0, zone),
		"2026-05-01T08:15:01": time.Date(2026, 5, 1, 8, 15, 1, 0, zone), "2026-05-01T08:15:00Z": time.Date(2026, 5, 1, 8, 15, 0, 0, time.UTC),
		"90m": now.Add(-90 * time.Minute), "7d": now.Add(-7 * 24 * time.Hour), "2w": now.Add(-14 * 24 * time.Hour), "0s": now,
	} {
		if got, err := parseWhen(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "-5m", "7", "d", "-1d", "99999d", "65535w", "2026-13-01", "2026-05-01 25:00", "1e300h"} {
		if got, err := parseWhen(text, now); err == nil {
			t.Errorf("%q passes as %v", text, got)
		}
	}
}

func FuzzParseWhen(f *testing.F) {
	for _, s := range []string{"today", "7d", "90m", "2026-05-28 14:00", "2026-05-28T14:00:00+02:00"} {
		f.Add(s)
	}
	now := time.Date(2026, 5, 28, 14, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if at, err := parseWhen(s, now); err == nil && (at.Year() < -1 || at.Year() > 10000) {
			t.Errorf("%q is %v", s, at)
		}
	})
}

func TestChosen(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	one := record.Head{Type: record.TypeTransition, Outcome: record.Blocked, Requested: mode.Compute, Timestamp: "2026-05-28T12:00:00.000Z"}
	intent, garbled := one, one
	intent.Type, garbled.Timestamp = record.TypeIntent, "?"
	ada, night := one, one
	ada.AskedBy = &record.Asker{UID: 0, LoginUID: 1000, User: "ada", Unit: "session-3.scope"}
	night.AskedBy = &record.Asker{UID: 0, LoginUID: -1, User: "root", Unit: record.IdleUnit}
	for name, tt := range map[string]struct {
		c    chosen
		h    record.Head
		want bool
	}{
		"all":                   {chosen{}, one, true},
		"no intent":             {chosen{}, intent, false},
		"its outcome":           {chosen{outcomes: []string{"noop", "blocked"}}, one, true},
		"another outcome":       {chosen{outcomes: []string{"noop"}}, one, false},
		"its mode":              {chosen{modes: []string{"compute"}}, one, true},
		"another mode":          {chosen{modes: []string{"desktop"}}, one, false},
		"its user":              {chosen{askers: []string{"bob", "ada"}}, ada, true},
		"another user":          {chosen{askers: []string{"bob"}}, ada, false},
		"its uid":               {chosen{askers: []string{"1000"}}, ada, true},
		"what its user became":  {chosen{askers: []string{"0"}}, ada, false},
		"a uid without a login": {chosen{askers: []string{"0"}}, night, true},
		"its session":           {chosen{askers: []string{"session-3.scope"}}, ada, true},
		"its service":           {chosen{askers: []string{"mode-idle.service"}}, night, true},
		"its service, in short": {chosen{askers: []string{"mode-idle"}}, night, true},
		"not known":             {chosen{askers: []string{"unknown"}}, one, true},
		"known":                 {chosen{askers: []string{"unknown"}}, ada, false},
		"somebody, not known":   {chosen{askers: []string{"ada"}}, one, false},
		"from its very moment":  {chosen{since: at("2026-05-28T12:00:00Z")}, one, true},
		"later":                 {chosen{since: at("2026-05-28T12:00:01Z")}, one, false},
		"until its very moment": {chosen{until: at("2026-05-28T12:00:00Z")}, one, false},
		"until after":           {chosen{until: at("2026-05-28T12:00:01Z")}, one, true},
		"garbled, and no times": {chosen{}, garbled, true},
		"garbled, with a time":  {chosen{since: at("2020-01-01T00:00:00Z")}, garbled, false},
	} {
		if got := tt.c.takesHead(tt.h); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestStats(t *testing.T) {
	s := newSums("vllm.service")
	for i := range 100 {
		s.add(record.Sum{
			Timestamp: "t", Prior: "desktop", Requested: mode.Compute, Outcome: record.Converged, DurationMS: float64(100 - i),
			Actions: []record.SumAction{
				{Action: mode.Gate, Status: record.Done, DurationMS: float64(i)},
				{Action: mode.Gate, Status: record.Errored, DurationMS: 9999},
				{Action: mode.StopUnit, Unit: "other.service", Status: record.Done, DurationMS: 9999},
			},
		})
	}
	s.add(record.Sum{Timestamp: "u", Prior: "compute", Requested: mode.Desktop, Outcome: record.Degraded, DurationMS: 7, Actions: []record.SumAction{
		{Action: mode.StopUnit, Unit: "vllm.service", Status: record.Done, DurationMS: 3},
	}})
	block := record.SumGuard{Guard: "check_a", Class: guard.Block, Reason: "r", Hard: true}
	for range 2 {
		s.add(record.Sum{Timestamp: "v", Outcome: record.Blocked, DurationMS: 5000, Guards: []record.SumGuard{block, {Guard: "check_b", OK: true, Class: guard.Pass}}})
	}
	want := stats{
		SchemaVersion: 1, Transitions: 103, First: "t", Last: "v",
		Outcomes: []outcomeStat{{record.Converged, 100}, {record.Blocked, 2}, {record.Degraded, 1}},
		Ways: []wayStat{
			{"compute", mode.Desktop, durations{1, 7, 7, 7}}, {"desktop", mode.Compute, durations{100, 50, 95, 100}},
		},
		GPURelease: []durationsOf{{byWorkload, durations{1, 3, 3, 3}}, {byDisplay, durations{100, 49, 94, 99}}},
		Guards:     []guardStat{{"check_a", guard.Block, "r", true, 2}},
	}
	if diff := cmp.Diff(want, s.stats(), cmp.AllowUnexported(wayStat{}, durationsOf{})); diff != "" {
		t.Errorf("(-want +got): %s", diff)
	}
}
