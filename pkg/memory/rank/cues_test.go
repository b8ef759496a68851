package rank

import "testing"

func TestCues(t *testing.T) {
	type cue struct{ asks, time, name bool }
	for text, want := range map[string]cue{
		"":                                   {},
		"Where is it?":                       {asks: true},
		"Where is it? 😀 ":                    {asks: true},
		"Is it \"broken?\"":                  {asks: true},
		"Look at this?\n[a photo of a dog]":  {asks: true},
		"Look at this.\n[is this a dog?]":    {},
		"[is this a dog?]":                   {},
		"Is it? It is.":                      {},
		"本当ですか？":                             {asks: true},
		"I saw it yesterday":                 {time: true},
		"I saw it last night.":               {time: true},
		"It may be a march":                  {},
		"It broke in May":                    {time: true, name: false},
		"May it break":                       {},
		"since 2019":                         {time: true},
		"port 8080, 2999 and 20190":          {},
		"We met in Berlin":                   {name: true},
		"Berlin is big. London is too. I am": {},
		"It's Friday, I'm off":               {time: true},
		"Thanks, Melanie and Mel!":           {},
		"Thanks, Melvin!":                    {name: true},
		"the \"Charlotte's Web\" book":       {name: true},
	} {
		got := cue{asks(text), tellsTime(text), hasName(text, called([]string{"Melanie"}))}
		if got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestStems(t *testing.T) {
	// What Postgres's english configuration makes of the words.
	for word, lexeme := range map[string]string{
		"caroline": "carolin", "melanie": "melani", "emily": "emili", "running": "run", "hoping": "hope",
		"decided": "decid", "jon": "jon", "activities": "activ", "relational": "relat", "studies": "studi",
	} {
		if !stems(word, lexeme) {
			t.Errorf("%s is no stem of %s", lexeme, word)
		}
	}
	for word, lexeme := range map[string]string{
		"sam": "same", "john": "johnson", "johnson": "jon", "art": "arm", "may": "mae", "": "a", "a": "",
	} {
		if stems(word, lexeme) {
			t.Errorf("%s is a stem of %s", lexeme, word)
		}
	}
}
