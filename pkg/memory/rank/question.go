package rank

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxPeriods bounds the dates of a query.
const maxPeriods = 16

// Question is what the text of a query says beyond its words.
type Question struct {
	// Speakers are those of the given ones that the text names, in its order.
	Speakers []string
	// Periods are the dates in the text.
	Periods []Period
	// When is true when it asks for a time, Name when it asks who or where, or
	// which one: the answer is likely a name.
	When, Name bool
}

// Analyse reads a query, in which the speakers may be named. Words such as
// yesterday are relative to asOf, and mean nothing where that is zero.
func Analyse(text string, speakers []string, asOf time.Time) Question {
	tokens := tokenise(text)
	return Question{
		Speakers: named(tokens, speakers),
		Periods:  periods(tokens, asOf),
		When:     asksWhen(tokens),
		Name:     asksName(tokens),
	}
}

// asksWhen finds: when; how long; how many days; what or which day, month,
// year, date, time.
func asksWhen(tokens []token) bool {
	for i, t := range tokens {
		after := at(tokens, i+1)
		switch t.lower {
		case "when":
			return true
		case "how":
			if after.lower == "long" || after.lower == "recently" ||
				after.lower == "many" && timeUnits[at(tokens, i+2).lower] {
				return true
			}
		case "what", "which":
			if timeUnits[after.lower] || after.lower == "date" || after.lower == "time" ||
				after.lower == "is" && at(tokens, i+2).lower == "the" && at(tokens, i+3).lower == "date" {
				return true
			}
		}
	}
	return false
}

// asksName finds: who, whom, whose, where, and which before a word that is no
// time.
func asksName(tokens []token) bool {
	for i, t := range tokens {
		switch t.lower {
		case "who", "whom", "whose", "where":
			return true
		case "which":
			return !timeUnits[at(tokens, i+1).lower]
		}
	}
	return false
}

// modal are names that are common words, too: they count as a name inside a
// sentence, with a capital.
var modal = set("will may can mark bill art grant june april an so do my")

// named lists the speakers whose name, or a word of it, is in the text, in the
// order of the text. Where words of several names are, only those speakers
// stay of whose name the most words are there.
func named(tokens []token, speakers []string) []string {
	type mention struct {
		speaker   string
		at, count int
	}
	places := map[string][]int{}
	for i, t := range tokens {
		places[t.lower] = append(places[t.lower], i)
	}
	var found []mention
	most := 0
	for _, speaker := range speakers {
		m := mention{speaker: speaker, at: len(tokens)}
		for _, word := range words(speaker) {
			lower := strings.ToLower(word)
			for _, i := range places[lower] {
				if !modal[lower] || i > 0 && tokens[i].text == word {
					m.count++
					m.at = min(m.at, i)
					break
				}
			}
		}
		if m.count > 0 {
			found = append(found, m)
			most = max(most, m.count)
		}
	}
	found = slices.DeleteFunc(found, func(m mention) bool { return m.count < most })
	slices.SortFunc(found, func(a, b mention) int {
		return cmp.Or(a.at-b.at, strings.Compare(a.speaker, b.speaker))
	})
	var names []string
	for _, m := range found {
		names = append(names, m.speaker)
	}
	return names
}
