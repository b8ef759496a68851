package rank

import (
	"iter"
	"strings"
	"unicode"
)

// token is one word of a text.
type token struct {
	text, lower string
	// gap is what stands between this word and the one before it.
	gap string
	// number is the value of the leading digits, or -1; digits counts them, and
	// suffix is what follows them, such as th.
	number, digits int
	suffix         string
}

// tokenise gives the words of a text.
func tokenise(text string) []token {
	var tokens []token
	end := 0
	for from, word := range words(text) {
		t := token{text: word, lower: strings.ToLower(word), gap: text[end:from], number: -1}
		for t.digits < len(word) && word[t.digits] >= '0' && word[t.digits] <= '9' {
			t.digits++
		}
		t.suffix = t.lower[min(t.digits, len(t.lower)):]
		if t.digits > 0 && t.digits <= 4 {
			t.number = 0
			for _, d := range word[:t.digits] {
				t.number = 10*t.number + int(d-'0')
			}
		}
		tokens = append(tokens, t)
		end = from + len(word)
	}
	return tokens
}

// at is the token at i, or one without text.
func at(tokens []token, i int) token {
	if i < 0 || i >= len(tokens) {
		return token{number: -1}
	}
	return tokens[i]
}

// words yields the words of a text with where they begin: runs of letters and
// digits. An apostrophe ends a word.
func words(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		from := -1
		for i, r := range text {
			if letter(r) {
				if from < 0 {
					from = i
				}
				continue
			}
			if from >= 0 && !yield(from, text[from:i]) {
				return
			}
			from = -1
		}
		if from >= 0 {
			yield(from, text[from:])
		}
	}
}

func letter(r rune) bool {
	if r < 0x80 {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

// stems is true when the lexeme may be the stem of the word, which is in lower
// case: the stemmer takes endings off, turns a last y into i and may put an e
// where the ending was.
func stems(word, lexeme string) bool {
	if word == lexeme {
		return true
	}
	shared := 0
	for shared < len(word) && shared < len(lexeme) && word[shared] == lexeme[shared] {
		shared++
	}
	if shared < 3 || shared == len(word) {
		return false
	}
	switch len(lexeme) - shared {
	case 0:
		return len(word)-shared <= 5
	case 1:
		last := lexeme[shared]
		return last == 'i' && word[shared] == 'y' || last == 'e' && strings.HasPrefix(word[shared:], "i")
	}
	return false
}
