package redact

import (
	"regexp"
	"strings"
)

var proseNames = []string{
	"password", "passwd", "passphrase", "passcode", "passwort", "kennwort", "contraseña", "senha", "mot de passe", "wachtwoord",
	"api key", "access key", "secret key", "private key", "token", "secret", "pin ", "pin code", "login", "credentials", "combination",
}

const (
	proseStrong = `passwords?|passwd|passphrase|passcode|passwort|kennwort|contraseña|senha|mot de passe|wachtwoord`
	proseWeak   = `api keys?|access keys?|secret keys?|private keys?|tokens?|secrets?|logins?|credentials?|combination`
	proseDigits = `pin(?: code| number)?`
)

var proseForm = regexp.MustCompile(`^(?i:(` + proseStrong + `)|(` + proseWeak + `)|(` + proseDigits + `))["'’”]?` +
	`(?i:[ \t]+(?:for|of|to|on|at|in|that|we|you|he|she|they|i|used|there|here)\b[^.!?\r\n:=]{0,60}?)?[ \t]+` +
	`(?i:is|was|are|be|(to)|equals|reads|being|remains|ist|es|est|é|será|war)(?i:[ \t]+(?:now|still|just|simply|currently|probably|actually|always|set to|changed to|reset to|going to be|literally))?[ \t]*:?[ \t]+` +
	`(?:"([^"\r\n]+)"|'([^'\r\n]+)'|` + "`([^`\\r\\n]+)`" + `|“([^”\r\n]+)”|‘([^’\r\n]+)’|([^\s"'“‘` + "`" + `]+))`)

var afterName = regexp.MustCompile(`^(?i:` + proseStrong + `)[ \t]+["'` + "`" + `]?([^\s"'` + "`" + `<>]+)`)

// proseWindow bounds how far a sentence is read.
const proseWindow = 400

// prose finds the value in "the password for the server is X", "we set the
// password to X", "log in with password X". at is at the name.
func prose(text string, at int) (start, end int, ok bool) {
	if at > 0 && (isWord(text[at-1]) || text[at-1] == '_') {
		return 0, 0, false
	}
	window := text[at:min(len(text), at+proseWindow)]
	m := proseForm.FindStringSubmatchIndex(window)
	if m == nil {
		m = afterName.FindStringSubmatchIndex(window)
		if m == nil {
			return 0, 0, false
		}
		value := bareValue(window[m[2]:m[3]])
		return at + m[2], at + m[2] + len(value), len(value) >= 6 && featured(value) && hasDigit(value)
	}
	const to, first, bare = 4, 5, 10
	for g := first; g <= bare; g++ {
		if m[2*g] < 0 {
			continue
		}
		start, end = m[2*g], m[2*g+1]
		quoted := g < bare
		if !quoted {
			end = start + len(bareValue(window[start:end]))
		}
		value := window[start:end]
		if !hasWordByte(value) || masked(value) || reference(value) {
			return 0, 0, false
		}
		switch {
		case m[2*3] >= 0:
			ok = len(value) >= 4 && len(value) <= 8 && digits.MatchString(value) && !strings.ContainsAny(value, ".,_")
		case m[2*2] >= 0:
			ok = len(value) >= 6 && featured(value)
		case quoted:
			ok = !notValues[strings.ToLower(value)]
		case m[2*to] >= 0:
			ok = featured(value)
		default:
			end, ok = spoken(window, start, end)
		}
		return at + start, at + end, ok
	}
	return 0, 0, false
}

// spoken decides about what follows "the password is" without quotes: a value
// with features; a word that ends the sentence and is none that sentences about
// passwords end in; or a run of three to eight words that is no sentence.
func spoken(window string, start, end int) (int, bool) {
	value := window[start:end]
	if featured(value) || len(value) >= 4 && digits.MatchString(value) {
		return end, true
	}
	run := plainRun.FindString(window[start:])
	if len(run) < len(value) {
		return end, false
	}
	words, odd := strings.Fields(run), 0
	for _, w := range words {
		lower := strings.ToLower(w)
		if functionWords[lower] || strings.HasSuffix(lower, "ly") {
			return end, false
		}
		if notValues[lower] {
			odd++
		}
	}
	switch {
	case len(words) == 1:
		return end, odd == 0 && len(value) >= 4 && !participle(value)
	case len(words) == 3:
		return start + len(run), odd == 0
	case len(words) > 3 && len(words) <= 8:
		return start + len(run), odd <= 1
	}
	return end, false
}

// plainRun is words up to the end of a clause.
var plainRun = regexp.MustCompile(`^[A-Za-z]+(?:[ \t]+[A-Za-z]+)*`)

// participle reports words that say what happens to a password or what it is
// like.
func participle(s string) bool {
	s = strings.ToLower(s)
	for _, ending := range []string{"ed", "ing", "able", "ible", "less", "ful", "ory", "ive", "ent", "ant", "ial"} {
		if len(s) > len(ending)+2 && strings.HasSuffix(s, ending) {
			return true
		}
	}
	return false
}

// proseBefore finds the value in "use X as the password" and "X is my
// password". at is at the space after the value.
func proseBefore(text string, at int) (start, end int, ok bool) {
	end = at
	for end > 0 && strings.IndexByte(`"'`+"`", text[end-1]) >= 0 {
		end--
	}
	start = end
	for start > 0 && end-start < 200 && strings.IndexByte(" \t\r\n\"'`<>", text[start-1]) < 0 {
		start--
	}
	value := text[start:end]
	return start, end, len(value) >= 5 && (featured(value) || end < at && !notValues[strings.ToLower(value)])
}
