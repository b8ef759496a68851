package embed

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWord is the longest word that is looked at, in bytes: what is longer is
// cut. Paths and hashes are shorter; base64 is not worth more.
const maxWord = 256

// Words gives the words of a text in their order, in lower case: runs of
// letters, digits and marks, held together by single signs that names have
// inside them ("go-redis", "nvidia.ko", "etc/fstab").
func Words(text string) []string {
	var words []string
	start, end := -1, 0 // of the word under way; end is after its last letter
	signs := 0          // how many came since that letter
	flush := func() {
		if start >= 0 {
			words = append(words, strings.ToLower(cut(text[start:end])))
		}
		start = -1
	}
	for i, r := range text {
		switch {
		case unicode.In(r, unicode.Letter, unicode.Number, unicode.Mark):
			if start < 0 {
				start = i
			}
			end, signs = i+utf8.RuneLen(r), 0
		case start >= 0 && signs == 0 && joins(r):
			signs++
		default:
			flush()
		}
	}
	flush()
	return words
}

// Parts gives the pieces of a word between its signs. The table holds words
// without signs, and is trained on these.
func Parts(word string) []string {
	return strings.FieldsFunc(word, joins)
}

// joins tells whether a sign can stand inside of a word.
func joins(r rune) bool { return strings.ContainsRune(".-+_/:@'’", r) }

// cut shortens a word to maxWord, between two characters.
func cut(word string) string {
	if len(word) <= maxWord {
		return word
	}
	n := maxWord
	for n > 0 && !utf8.RuneStart(word[n]) {
		n--
	}
	return word[:n]
}
