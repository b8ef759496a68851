package service

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ryjen/dubnium/pkg/memory"
)

// bytesPerToken estimates the tokens of a text: close to what tokenizers of
// current models make of English, and too many for none but a few scripts. The
// service has no tokenizer: it would belong to a model.
const bytesPerToken = 4

// Tokens estimates the tokens of a text.
func Tokens(s string) int { return (len(s) + bytesPerToken - 1) / bytesPerToken }

// ellipsis is where something was left out.
const ellipsis = "…"

// compress shortens the texts of the hits until their estimated tokens are at
// most budget. The room is shared out evenly, and what short texts leave goes
// to the long ones; of a text that is too long, the sentences with most words
// of the query stay. No hit is dropped, whatever the budget.
func compress(hits []memory.Hit, lexemes []string, budget int) {
	rooms := share(hits, budget)
	for i := range hits {
		if Tokens(hits[i].Summary) > rooms[i] {
			hits[i].Summary = shorten(hits[i].Summary, lexemes, rooms[i]*bytesPerToken)
			hits[i].Shortened = true
		}
	}
}

// share gives each hit its tokens of the budget. The best get what does not
// divide.
func share(hits []memory.Hit, budget int) []int {
	rooms := make([]int, len(hits))
	order := make([]int, len(hits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return Tokens(hits[a].Summary) - Tokens(hits[b].Summary) })
	left := budget
	for n, i := range order {
		even := left / (len(order) - n)
		rooms[i] = min(Tokens(hits[i].Summary), even)
		left -= rooms[i]
	}
	for i := range hits {
		more := min(left, Tokens(hits[i].Summary)-rooms[i])
		rooms[i] += more
		left -= more
	}
	return rooms
}

// shorten gives at most size bytes of text: the sentences that have most of
// the words, in their order, with an ellipsis for each gap. Where not even the
// best sentence fits, its beginning is given.
func shorten(text string, lexemes []string, size int) string {
	sentences := split(text)
	order := make([]int, len(sentences))
	value := make([]int, len(sentences))
	for i, s := range sentences {
		order[i], value[i] = i, matches(s, lexemes)
	}
	slices.SortStableFunc(order, func(a, b int) int { return value[b] - value[a] })
	kept := make([]bool, len(sentences))
	used := 0
	for _, i := range order {
		if n := len(sentences[i]) + 2*len(ellipsis) + 1; used+n <= size {
			kept[i] = true
			used += n
		}
	}
	if used == 0 {
		return cut(sentences[order[0]], size)
	}
	var b strings.Builder
	gap := false
	for i, s := range sentences {
		if !kept[i] {
			gap = true
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if gap {
			b.WriteString(ellipsis)
		}
		b.WriteString(s)
		gap = false
	}
	if gap {
		b.WriteString(ellipsis)
	}
	return b.String()
}

// split cuts a text into sentences, without the space between them. There is
// at least one.
func split(text string) []string {
	var all []string
	begin := 0
	for i, r := range text {
		next := i + utf8.RuneLen(r)
		if next < len(text) && (r == '\n' || (r == '.' || r == '!' || r == '?' || r == '。') && unicode.IsSpace(rune(text[next]))) {
			if s := strings.TrimSpace(text[begin:next]); s != "" {
				all = append(all, s)
			}
			begin = next
		}
	}
	if s := strings.TrimSpace(text[begin:]); s != "" || len(all) == 0 {
		all = append(all, s)
	}
	return all
}

// matches counts the words that begin like one of the lexemes, which are stems.
func matches(sentence string, lexemes []string) int {
	n := 0
	for w := range strings.FieldsFuncSeq(strings.ToLower(sentence), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if slices.ContainsFunc(lexemes, func(l string) bool { return strings.HasPrefix(w, l) }) {
			n++
		}
	}
	return n
}

// cut gives at most size bytes of s, whole characters, and words where it can.
func cut(s string, size int) string {
	if len(s) <= size {
		return s
	}
	size -= len(ellipsis)
	if size <= 0 {
		return ""
	}
	for size > 0 && !utf8.RuneStart(s[size]) {
		size--
	}
	if space := strings.LastIndexByte(s[:size], ' '); space > size/2 {
		size = space
	}
	return strings.TrimRight(s[:size], " ") + ellipsis
}
