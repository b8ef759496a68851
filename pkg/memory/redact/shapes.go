package redact

import (
	"regexp"
	"strings"
)

var pemBegin = regexp.MustCompile(`^-----(?i:begin) ([A-Z0-9 ]{0,40}(?i:private key)(?: (?i:block))?)-----`)

// pemBlock finds a private key in PEM, from its BEGIN line to its END line; one
// without an end goes to where no more of it can be.
func pemBlock(text string, at int) (start, end int, ok bool) {
	m := pemBegin.FindStringIndex(text[at:min(len(text), at+100)])
	if m == nil {
		return 0, 0, false
	}
	body := at + m[1]
	if n := strings.Index(text[body:], "-----"); n >= 0 && len(text)-body-n >= 9 && strings.EqualFold(text[body+n:body+n+9], "-----end ") {
		if tail := strings.Index(text[body+n+9:], "-----"); tail >= 0 && tail < 80 {
			return at, body + n + 9 + tail + 5, true
		}
		return at, body + n, true
	}
	// Headers, base64 and its line breaks, real or escaped.
	end = body
	for end < len(text) && (isWord(text[end]) || strings.IndexByte("+/=-:, \t\r\n\\\"'", text[end]) >= 0) {
		end++
	}
	return at, end, true
}

var secretBesideKey = regexp.MustCompile(`[^A-Za-z0-9+/=_-](` + b64 + `{40})(?:[^A-Za-z0-9+/=_-]|$)`)

// besideAccessKey finds the secret that people write right after its AWS access
// key id, with nothing that names it.
func besideAccessKey(text string, at int) (start, end int, ok bool) {
	const id = 20
	if len(text) < at+id || !upperOrDigits(text[at:at+id]) {
		return 0, 0, false
	}
	near := text[at+id : min(len(text), at+id+120)]
	m := secretBesideKey.FindStringSubmatchIndex(near)
	if m == nil || !hasDigitOrMixedCase(near[m[2]:m[3]]) {
		return 0, 0, false
	}
	return at + id + m[2], at + id + m[3], true
}

// accessKey tells an AWS access key id from a word in capitals: none begins with
// AKIA.
func accessKey(s string) bool { return hasDigit(s) || strings.HasPrefix(s, "AKIA") }

func upperOrDigits(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

var azureTail = regexp.MustCompile(`^[0-9]Q~[A-Za-z0-9_~.-]{31,34}`)

// azureClientSecret finds a secret of an Entra application: three characters, a
// digit, Q~ and 31 to 34 more. at is at the digit.
func azureClientSecret(text string, at int) (start, end int, ok bool) {
	m := azureTail.FindStringIndex(text[at:min(len(text), at+40)])
	if m == nil || at < 3 {
		return 0, 0, false
	}
	return at - 3, at + m[1], true
}

var telegramTail = regexp.MustCompile(`^:AA[A-Za-z0-9_-]{30,40}`)

// telegramToken finds a bot's token: 8 to 10 digits, a colon, AA and 33 more.
// at is at the colon.
func telegramToken(text string, at int) (start, end int, ok bool) {
	m := telegramTail.FindStringIndex(text[at:min(len(text), at+48)])
	start = at
	for start > 0 && at-start < 11 && text[start-1] >= '0' && text[start-1] <= '9' {
		start--
	}
	if m == nil || at-start < 8 {
		return 0, 0, false
	}
	return start, at + m[1], true
}

// userInfo finds the password, or a token in the place of the user, of a URL.
// at is at ://. A password that should have been escaped and was not ends at
// the last @ before the host.
func userInfo(text string, at int) (start, end int, ok bool) {
	begin := at + 3
	limit := min(len(text), begin+1024)
	stop := begin
	for stop < limit && !strings.ContainsRune(" \t\r\n\"'<>`", rune(text[stop])) {
		stop++
	}
	rest := text[begin:stop]
	authority := rest
	if n := strings.IndexAny(rest, "/?#"); n >= 0 {
		authority = rest[:n]
	}
	last := strings.LastIndexByte(authority, '@')
	if last < 0 {
		// No user, or a slash in the password.
		last = strings.LastIndexByte(rest, '@')
		colon := strings.IndexByte(authority, ':')
		if last < 0 || colon < 0 || portFollows(rest[colon+1:]) || strings.ContainsAny(rest[colon:last], "?&=") {
			return 0, 0, false
		}
	}
	user, password, both := strings.Cut(rest[:last], ":")
	if both {
		return begin + len(user) + 1, begin + last, len(password) > 0 && !reference(password)
	}
	return begin, begin + last, len(user) >= 16 && hasDigitOrMixedCase(user)
}

// portFollows reports whether s begins as what follows the colon of host:port.
func portFollows(s string) bool {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n > 0 && n < len(s) && strings.IndexByte("/?#", s[n]) >= 0
}

// recoveryPhrase finds the twelve to twenty-four words after the name of what
// they are.
func recoveryPhrase(text string, at int) (start, end int, ok bool) {
	window := text[at:min(len(text), at+512)]
	m := phraseWords.FindStringSubmatchIndex(window)
	if m == nil {
		return 0, 0, false
	}
	value := window[m[2]:m[3]]
	for _, w := range strings.Fields(value) {
		if functionWords[strings.Trim(w, ",")] {
			return 0, 0, false
		}
	}
	return at + m[2], at + m[3], true
}

var phraseWords = regexp.MustCompile(`^(?i:seed phrase|recovery phrase|mnemonic|seed words|wallet phrase)[a-z ]{0,20}?(?:\s*(?:is|are|was|[:=])\s*)["']?((?:[a-z]{3,8},?\s{1,2}){11,23}[a-z]{3,8})`)
