package rank

import (
	"slices"
	"strings"
	"time"
)

// Period is a span of days that a query names.
type Period struct {
	// From and To are the first and the last day, counted from 1970-01-01.
	From, To int
	// Yearly periods are named without a year: 7 May, in June. Theirs is 2000.
	Yearly bool
}

// Near is 1 for a time in the period, or a day from a period of one day; 0.5
// within a week of that; else 0. Months and years have sharp ends.
func (p Period) Near(t time.Time) float64 {
	t = t.UTC()
	day := dayOf(t)
	if !p.Yearly {
		return p.near(day)
	}
	best := 0.0
	for year := t.Year() - 1; year <= t.Year()+1; year++ {
		from, to := timeOf(p.From), timeOf(p.To)
		best = max(best, Period{
			From: dayOf(time.Date(year, from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)),
			To:   dayOf(time.Date(year, to.Month(), to.Day(), 0, 0, 0, 0, time.UTC)),
		}.near(day))
	}
	return best
}

func (p Period) near(day int) float64 {
	away := max(p.From-day, day-p.To, 0)
	switch {
	case away == 0 || away == 1 && p.From == p.To:
		return 1
	case away <= 7 && p.To-p.From < 7:
		return 0.5
	}
	return 0
}

const secondsPerDay = 24 * 60 * 60

func dayOf(t time.Time) int {
	seconds := t.Unix()
	day := seconds / secondsPerDay
	if seconds%secondsPerDay < 0 {
		day--
	}
	return int(day)
}

func timeOf(day int) time.Time { return time.Unix(int64(day)*secondsPerDay, 0).UTC() }

var (
	monthNames = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}
	dayNames   = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	numbers    = []string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	// beforeMonth are the words after which may and march are months.
	beforeMonth = set("in of during since until till by before after early mid late last this next every from to around")
)

// month is the number of the month that the token names, 0 for none. An
// abbreviation counts where a number stands beside it; may and march do where
// they can't be verbs.
func month(tokens []token, i int) int {
	t := at(tokens, i)
	numbered := at(tokens, i-1).number > 0 || at(tokens, i+1).number > 0 ||
		at(tokens, i-1).lower == "of" && at(tokens, i-2).number > 0
	for n, name := range monthNames {
		switch {
		case t.lower == name:
			if name != "may" && name != "march" {
				return n + 1
			}
			if numbered || beforeMonth[at(tokens, i-1).lower] || i > 0 && t.text != t.lower {
				return n + 1
			}
			return 0
		case numbered && len(t.lower) >= 3 && len(t.lower) <= 4 && strings.HasPrefix(name, t.lower):
			return n + 1
		}
	}
	return 0
}

func isDay(t token) bool {
	return t.number >= 1 && t.number <= 31 && t.digits <= 2 &&
		(t.suffix == "" || t.suffix == "st" || t.suffix == "nd" || t.suffix == "rd" || t.suffix == "th")
}

func isYear(t token) bool {
	return t.digits == 4 && t.suffix == "" && t.number >= 1900 && t.number <= 2099
}

// periods finds the dates of a text: 2023-05-07, 7/5/2023 (either way round),
// 7 May 2023, the 7th of May, May 7th, 2023, May 2023, in May, 2023; and, where
// asOf is given, yesterday, last Friday, this month, two weeks ago.
func periods(tokens []token, asOf time.Time) []Period {
	var found []Period
	for i := 0; i < len(tokens) && len(found) < maxPeriods; {
		n := 0
		found, n = period(found, tokens, i, asOf)
		i += max(n, 1)
	}
	return found
}

// period adds the date that begins at token i and says how many tokens it has.
func period(found []Period, tokens []token, i int, asOf time.Time) ([]Period, int) {
	a, b, c := at(tokens, i), at(tokens, i+1), at(tokens, i+2)
	if a.number >= 0 {
		if b.gap != "" && c.gap == b.gap && strings.Contains("-/.", b.gap) && b.number > 0 && c.number > 0 {
			if dates := numeric(a, b, c); dates != nil {
				return append(found, dates...), 3
			}
		}
		if isYear(a) && b.gap == "-" && b.digits == 2 && b.number <= 12 && b.number > 0 && b.suffix == "" {
			return append(found, span(a.number, b.number, 0)), 2
		}
		if isDay(a) {
			m, n := month(tokens, i+1), 2
			if b.lower == "of" {
				m, n = month(tokens, i+2), 3
			}
			if m > 0 {
				if y := at(tokens, i+n); isYear(y) {
					return addDay(found, y.number, m, a.number), n + 1
				}
				return addDay(found, 0, m, a.number), n
			}
		}
		if isYear(a) {
			return append(found, span(a.number, 0, 0)), 1
		}
		if days, n := ago(tokens, i, a.number); n > 0 && a.suffix == "" && !asOf.IsZero() {
			return append(found, back(asOf, days, at(tokens, i+1).lower)), n
		}
		return found, 1
	}
	if m := month(tokens, i); m > 0 {
		switch {
		case isDay(b) && isYear(c):
			return addDay(found, c.number, m, b.number), 3
		case isYear(b):
			return append(found, span(b.number, m, 0)), 2
		case b.lower == "of" && isYear(c):
			return append(found, span(c.number, m, 0)), 3
		case isDay(b):
			return addDay(found, 0, m, b.number), 2
		}
		return append(found, span(0, m, 0)), 1
	}
	if asOf.IsZero() {
		return found, 1
	}
	return relative(found, tokens, i, asOf)
}

// numeric reads three numbers: the year first, or last with the day and the
// month either way round.
func numeric(a, b, c token) []Period {
	if isYear(a) {
		return addDay(nil, a.number, b.number, c.number)
	}
	if !isYear(c) {
		return nil
	}
	dates := addDay(nil, c.number, b.number, a.number)
	if a.number != b.number {
		dates = addDay(dates, c.number, a.number, b.number)
	}
	return dates
}

// addDay adds a day if the calendar has it. Year 0 is every year.
func addDay(found []Period, year, month, day int) []Period {
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return found
	}
	y := year
	if y == 0 {
		y = 2000
	}
	if t := time.Date(y, time.Month(month), day, 0, 0, 0, 0, time.UTC); t.Day() != day {
		return found
	}
	return append(found, span(year, month, day))
}

// span is the period of a year, a month or a day; year 0 is every year.
func span(year, month, day int) Period {
	p := Period{Yearly: year == 0}
	if year == 0 {
		year = 2000
	}
	date := func(y, m, d int) int { return dayOf(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)) }
	switch {
	case month == 0:
		p.From, p.To = date(year, 1, 1), date(year, 12, 31)
	case day == 0:
		p.From, p.To = date(year, month, 1), date(year, month+1, 0)
	default:
		p.From = date(year, month, day)
		p.To = p.From
	}
	return p
}

// ago finds: N days ago, weeks, months, years; it gives N and the tokens used.
func ago(tokens []token, i, n int) (int, int) {
	if timeUnits[at(tokens, i+1).lower] && at(tokens, i+2).lower == "ago" && n <= 1000 {
		return n, 3
	}
	return 0, 0
}

// back is the period a number of units before asOf.
func back(asOf time.Time, n int, unit string) Period {
	asOf = asOf.UTC()
	switch strings.TrimSuffix(unit, "s") {
	case "week", "weekend":
		day := dayOf(asOf) - 7*n
		return Period{From: day - 3, To: day + 3}
	case "month":
		t := time.Date(asOf.Year(), asOf.Month()-time.Month(n), 1, 0, 0, 0, 0, time.UTC)
		return span(t.Year(), int(t.Month()), 0)
	case "year":
		return span(max(asOf.Year()-n, 1), 0, 0)
	case "day", "night":
		day := dayOf(asOf) - n
		return Period{From: day, To: day}
	}
	day := dayOf(asOf)
	return Period{From: day, To: day}
}

// relative reads what is relative to asOf.
func relative(found []Period, tokens []token, i int, asOf time.Time) ([]Period, int) {
	today := dayOf(asOf)
	day := func(d int) ([]Period, int) { return append(found, Period{From: d, To: d}), 1 }
	a, b := at(tokens, i), at(tokens, i+1)
	switch a.lower {
	case "today", "tonight":
		return day(today)
	case "yesterday":
		return day(today - 1)
	case "tomorrow":
		return day(today + 1)
	case "last", "past", "previous", "this":
		step := 1
		if a.lower == "this" {
			step = 0
		}
		weekday := (int(asOf.UTC().Weekday()) + 6) % 7 // Monday is 0
		monday := today - weekday - 7*step
		switch b.lower {
		case "week":
			return append(found, Period{From: monday, To: monday + 6}), 2
		case "weekend":
			return append(found, Period{From: monday + 5, To: monday + 6}), 2
		case "month", "year":
			return append(found, back(asOf, step, b.lower)), 2
		case "night":
			return append(found, Period{From: today - step, To: today - step}), 2
		}
		if n := slices.Index(dayNames, b.lower); n >= 0 {
			d := today - (int(asOf.UTC().Weekday())-n+7)%7
			if d == today && step == 1 {
				d -= 7
			}
			return append(found, Period{From: d, To: d}), 2
		}
	case "a", "an":
		if n, used := ago(tokens, i, 1); used > 0 {
			return append(found, back(asOf, n, b.lower)), used
		}
	}
	if n := slices.Index(numbers, a.lower); n > 0 {
		if n, used := ago(tokens, i, n); used > 0 {
			return append(found, back(asOf, n, b.lower)), used
		}
	}
	return found, 1
}
