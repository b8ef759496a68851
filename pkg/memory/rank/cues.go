package rank

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cueBytes is how much of a text is looked at for its cues.
const cueBytes = 2048

// asks is true when the text ends with a question mark. What closes a text is
// looked past: quotation marks, and a note in brackets such as the description
// of a picture that came with it.
func asks(text string) bool {
	text = strings.TrimRightFunc(text, closing)
	if strings.HasSuffix(text, "]") {
		if open := strings.LastIndexByte(text, '['); open > 0 {
			text = strings.TrimRightFunc(text[:open], closing)
		}
	}
	return strings.HasSuffix(text, "?") || strings.HasSuffix(text, "？") || strings.HasSuffix(text, "؟")
}

// closing are the characters after the last mark of a sentence: space, quotes,
// and pictures such as emoji.
func closing(r rune) bool {
	switch r {
	case '"', '\'', '”', '’', '»', ')', '*', '_', '\u200d', '\ufe0f':
		return true
	}
	return unicode.IsSpace(r) || r >= 0x2190 && unicode.Is(unicode.So, r) || unicode.Is(unicode.Sk, r)
}

var timeUnits = set("second minute hour day night week weekend month season year decade century " +
	"seconds minutes hours days nights weeks weekends months seasons years decades centuries")

// timeWords say when something was, without may and march, which are verbs too:
// tellsTime looks at their capital.
var timeWords = set("yesterday today tonight tomorrow ago last next recently lately since week weekend month year " +
	"weeks weekends months years days hours morning evening afternoon night decade decades anniversary " +
	"monday tuesday wednesday thursday friday saturday sunday " +
	"january february april june july august september october november december " +
	"spring summer autumn winter")

// timeLengths are the lengths that they have, by their first letter from a.
var timeLengths = func() (lengths [26]uint16) {
	for word := range timeWords {
		lengths[word[0]-'a'] |= 1 << len(word)
	}
	return lengths
}()

// tellsTime is true when the text has a word for a time: yesterday, ago, May,
// Friday, 2022.
func tellsTime(text string) bool {
	text = text[:min(len(text), cueBytes)]
	for from, word := range words(text) {
		switch {
		case len(word) == 4 && (strings.HasPrefix(word, "19") || strings.HasPrefix(word, "20")) && strings.Trim(word, "0123456789") == "":
			return true
		case word == "May" || word == "March":
			if from > 0 {
				return true
			}
		case len(word) < 16 && 'a' <= word[0]|0x20 && word[0]|0x20 <= 'z' &&
			timeLengths[word[0]|0x20-'a']>>len(word)&1 == 1 && timeWords[strings.ToLower(word)]:
			return true
		}
	}
	return false
}

// notNames are written with a capital and name nobody.
var notNames = set("i mr mrs ms dr ok tv dj id monday tuesday wednesday thursday friday saturday sunday " +
	"january february march april may june july august september october november december")

// hasName is true when a word inside a sentence begins with a capital, and is
// no day or month, nor what the speakers call each other.
func hasName(text string, called map[string]bool) bool {
	text = text[:min(len(text), cueBytes)]
	end := 0
	for from, word := range words(text) {
		gap := text[end:from]
		start := end == 0 || strings.ContainsAny(gap, ".!?\n:\"“[(")
		end = from + len(word)
		if start || len(word) < 2 || strings.HasSuffix(gap, "'") || strings.HasSuffix(gap, "’") {
			continue
		}
		if first, _ := utf8.DecodeRuneInString(word); unicode.IsUpper(first) &&
			!notNames[strings.ToLower(word)] && !called[word] {
			return true
		}
	}
	return false
}

func set(list string) map[string]bool {
	m := map[string]bool{}
	for _, word := range strings.Fields(list) {
		m[word] = true
	}
	return m
}
