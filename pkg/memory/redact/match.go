package redact

import (
	"regexp"
	"strings"
)

// rule is one kind of secret.
type rule struct {
	id string
	// keywords are lower case; the rule is tried wherever one of them is.
	keywords []string
	// apart asks that no letter or digit comes right before the keyword.
	apart bool
	// re begins with ^ and is matched from the keyword on, in at most window
	// bytes, or maxWindow. Its first group that took part, or all of it, is the secret.
	re     *regexp.Regexp
	window int
	// plausible, where set, decides by the value.
	plausible func(value string) bool
	// find takes the place of re where a regular expression does not say it: at
	// is where the keyword begins.
	find func(text string, at int) (start, end int, ok bool)
}

// maxWindow bounds how far from its keyword an expression is matched.
const maxWindow = 4096

var (
	words, ruleOf = keywords(rules)
	finder        = newAutomaton(words)
)

// keywords lists the keywords of all rules and which rule each belongs to. The
// same keyword may be there several times.
func keywords(rules []rule) (words []string, of []int) {
	for n, r := range rules {
		for _, w := range r.keywords {
			words, of = append(words, w), append(of, n)
		}
	}
	return words, of
}

// match returns what the rules find in text, in no order.
func match(text string) []span {
	var spans []span
	// past[n] is how far rule n has looked: a keyword inside what it matched is
	// part of that, and a text of nothing but keywords is read once.
	past := make(map[int]int)
	finder.each(text, func(word, at int) {
		n := ruleOf[word]
		r := &rules[n]
		if at < past[n] || r.apart && at > 0 && isWord(text[at-1]) {
			return
		}
		start, end, ok := r.at(text, at)
		past[n] = max(past[n], end)
		if ok {
			spans = append(spans, span{start, end, n})
		}
	})
	return spans
}

// at matches the rule at its keyword. Where it matches what is not plausible, end
// is set and ok is not.
func (r *rule) at(text string, at int) (start, end int, ok bool) {
	if r.find != nil {
		return r.find(text, at)
	}
	window := maxWindow
	if r.window > 0 {
		window = r.window
	}
	limit := min(len(text), at+window)
	m := r.re.FindStringSubmatchIndex(text[at:limit])
	if m == nil {
		return 0, 0, false
	}
	start, end = group(m)
	start, end = at+start, at+end
	for end >= limit && end < len(text) && isWord(text[end]) {
		end++
	}
	return start, end, r.plausible == nil || r.plausible(text[start:end])
}

// group returns the first group of a match that took part in it, else all of
// the match.
func group(m []int) (start, end int) {
	for i := 2; i+1 < len(m); i += 2 {
		if m[i] >= 0 {
			return m[i], m[i+1]
		}
	}
	return m[0], m[1]
}

// token builds a rule for keys that their service marks with a prefix: one of
// the prefixes, then characters of the class, at least so many.
func token(id, class, least string, prefixes ...string) rule {
	quoted := make([]string, len(prefixes))
	lower := make([]string, len(prefixes))
	for i, p := range prefixes {
		quoted[i], lower[i] = regexp.QuoteMeta(p), strings.ToLower(p)
	}
	return rule{
		id:        id,
		keywords:  lower,
		re:        regexp.MustCompile(`^(?:` + strings.Join(quoted, "|") + `)` + class + `{` + least + `,}`),
		plausible: hasDigitOrMixedCase,
	}
}

// apart is r, tried only where its keyword begins a word.
func apart(r rule) rule {
	r.apart = true
	return r
}
