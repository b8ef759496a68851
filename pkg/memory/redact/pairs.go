package redact

import (
	"regexp"
	"strings"
)

// Names whose value is a secret whatever it looks like.
const strongNames = `passwords?|passwd|passphrase|passcode|passwort|kennwort|contraseña|senha|mot de passe|wachtwoord|requirepass|masterauth|identified by|pwd|pass`

// Names whose value is a secret when it looks like one.
const weakNames = `secrets?|tokens?|credentials?|creds|api[_ -]?keys?|access[_ -]?keys?|secret[_ -]?keys?|private[_ -]?keys?|encryption[_ -]?keys?|signing[_ -]?keys?|master[_ -]?keys?|auth[_ -]?keys?|account[_ -]?keys?|shared[_ -]?keys?|session[_ -]?keys?`

var pairNames = []string{
	"password", "passwd", "passphrase", "passcode", "passwort", "kennwort", "contraseña", "senha", "mot de passe", "wachtwoord",
	"requirepass", "masterauth", "identified by", "pwd", "pass",
	"secret", "token", "credential", "creds", "apikey", "api_key", "api-key", "api key", "accesskey", "access_key", "access-key", "access key",
	"private_key", "private-key", "private key", "privatekey", "encryption_key", "encryption-key", "encryption key", "encryptionkey", "signing_key",
	"signing-key", "signing key", "signingkey", "master_key", "master-key", "master key", "masterkey", "auth_key", "auth-key", "auth key", "authkey",
	"account_key", "account key", "shared_key", "shared key", "sharedkey", "session_key", "session key", "sessionkey",
}

const quotedOrBare = `(?:[bfru]?"((?:[^"\\\r\n]|\\.)+)"|[bfru]?'((?:[^'\\\r\n]|\\.)+)'|` + "`([^`\\r\\n]+)`" + `|“([^”\r\n]+)”|‘([^’\r\n]+)’|["']?([^\s"'<>` + "`" + `]+))`

var (
	pairForm = regexp.MustCompile(`^(?i:(` + strongNames + `)|(` + weakNames + `))([A-Za-z0-9_.-]{0,40})["'\])]{0,3}[ \t]{0,8}` +
		`(=>|:[ \t]*(?:&?str|[Ss]tring|text|bytes|SecretStr|Optional\[str\]|str \| None)[ \t]*=|:=|={1,3}|:)[ \t]{0,8}(?:\r?\n[ \t]{0,8})?` + quotedOrBare)
	elementForm = regexp.MustCompile(`^(?i:(` + strongNames + `)|(` + weakNames + `))([A-Za-z0-9_.-]{0,40})>()` + `()()()()()([^<\s][^<]*)</`)
	spacedForm  = regexp.MustCompile(`^(?i:(` + strongNames + `)|(` + weakNames + `))([A-Za-z0-9_-]{0,40})()[ \t]{1,8}` + quotedOrBare)
)

// The groups of the three forms.
const (
	groupStrong, groupWeak, groupSuffix, groupSign, groupQuoted, groupBare = 1, 2, 3, 4, 5, 10
)

// pairWindow bounds how far a pair reaches.
const pairWindow = 1024

// pair finds the value of a pair: name=value, "name": "value", --name value,
// <name>value</name>, PASSWORD 'value'. at is at the name.
func pair(text string, at int) (start, end int, ok bool) {
	window := text[at:min(len(text), at+pairWindow)]
	m := pairForm.FindStringSubmatchIndex(window)
	if m == nil {
		if at > 0 && identifierStart(text, at) == '<' {
			m = elementForm.FindStringSubmatchIndex(window)
		} else if spaced := spacedForm.FindStringSubmatchIndex(window); spaced != nil &&
			(identifierStart(text, at) == '-' || spaced[2*groupBare] < 0 || spaceNames[strings.ToLower(window[:spaced[2*groupSuffix]])]) {
			m = spaced
		}
	}
	if m == nil {
		return 0, 0, false
	}
	name := window[:m[2*groupSuffix]]
	if !names(text, at, name, window[m[2*groupSuffix]:m[2*groupSuffix+1]]) {
		return 0, 0, false
	}
	start, end, bare := valueOf(m)
	if bare {
		end = start + len(bareValue(window[start:end]))
	}
	value := window[start:end]
	strong := m[2*groupStrong] >= 0
	sign := window[m[2*groupSign]:m[2*groupSign+1]]
	start, end = at+start, at+end
	for bare && end == at+len(window) && end < len(text) && isWord(text[end]) {
		end++
	}
	return start, end, isSecret(name, value, strong, bare, sign != ":")
}

// spaceNames are the names that configuration files set with a space.
var spaceNames = map[string]bool{"requirepass": true, "masterauth": true}

// valueOf returns the group of quotedOrBare that took part, and whether it is
// the one without quotes.
func valueOf(m []int) (start, end int, bare bool) {
	for g := groupQuoted; g <= groupBare; g++ {
		if 2*g+1 < len(m) && m[2*g] >= 0 && m[2*g+1] > m[2*g] {
			return m[2*g], m[2*g+1], g == groupBare
		}
	}
	return 0, 0, false
}

// identifierStart returns the character before the identifier in which at is.
func identifierStart(text string, at int) byte {
	i := at - 1
	for i >= 0 && at-i < 40 && (isWord(text[i]) || text[i] == '_' || text[i] == '-' && i > 0 && isWord(text[i-1])) {
		i--
	}
	if i < 0 {
		return ' '
	}
	return text[i]
}

// aboutSuffixes are what an identifier ends in that is about a secret and does not
// hold one.
var aboutSuffixes = set(`name names ref refs file files path paths dir length len count size type types field fields policy policies hint
	reset url uri endpoint store manager limit limits usage expiry expires expired expiration ttl rotation age required enabled authentication
	command cmd prompt label placeholder min max strength valid validity encoder rule rules format column env var variable version state status
	per budget window position index ids scope scopes issuer audience algorithm alg mode input provider source location link page form class
	kind created updated at on changed change changes event events method error errors check less word words port prefix suffix parameters rounds cost`)

// names decides by the identifier around the name whether its value can be a
// secret: max_tokens, tokenizer, passwordless and secret_name hold none.
func names(text string, at int, name, suffix string) bool {
	before := byte(' ')
	if at > 0 {
		before = text[at-1]
	}
	lower := strings.ToLower(name)
	if (len(lower) <= 5 || lower == "senha") && isWord(before) && !(name[0] >= 'A' && name[0] <= 'Z' && before >= 'a' && before <= 'z') {
		// A short name inside a word: bypass, compass, pwd in base64; not dbPass,
		// and not authtoken.
		if !strings.HasPrefix(lower, "token") {
			return false
		}
	}
	if suffix == "" {
		return true
	}
	if c := suffix[0]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' && name == strings.ToUpper(name) {
		// The word goes on: tokenizer, secretary, passport.
		return false
	}
	for _, part := range parts(suffix) {
		if aboutSuffixes[part] || part == "id" && lower != "secret" {
			return false
		}
	}
	return true
}

// parts splits an identifier at _ - . and where a capital begins.
func parts(identifier string) []string {
	var all []string
	begin := 0
	cut := func(i int) {
		if i > begin {
			all = append(all, strings.ToLower(identifier[begin:i]))
		}
	}
	for i := range len(identifier) {
		switch c := identifier[i]; {
		case c == '_' || c == '-' || c == '.':
			cut(i)
			begin = i + 1
		case c >= 'A' && c <= 'Z' && i > 0 && identifier[i-1] >= 'a' && identifier[i-1] <= 'z':
			cut(i)
			begin = i
		}
	}
	cut(len(identifier))
	return all
}

var nextPair = regexp.MustCompile(`[&,;][A-Za-z_][A-Za-z0-9_.-]*=`)

// bareValue cuts from a value without quotes what follows it: the next pair, and
// the punctuation of a sentence or a program.
func bareValue(s string) string {
	if m := nextPair.FindStringIndex(s); m != nil {
		s = s[:m[0]]
	}
	for len(s) > 0 {
		last := s[len(s)-1]
		if n := strings.IndexByte(")]}", last); n >= 0 && strings.IndexByte(s, "([{"[n]) >= 0 || strings.IndexByte(".,;:!?)]}|&\\", last) < 0 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

// isSecret decides by the value. strong: the name says enough; assigned: the sign
// was one that prose does not use.
func isSecret(name, value string, strong, bare, assigned bool) bool {
	value = strings.TrimSpace(value)
	if !hasWordByte(value) || masked(value) || reference(value) || strings.EqualFold(value, name) {
		return false
	}
	lower := strings.ToLower(strings.Trim(value, `"'.,;:!?()[]{}`))
	if notValues[lower] || functionWords[lower] {
		return false
	}
	switch {
	case bare && chain.MatchString(value):
		return false
	case strong && strings.EqualFold(name, "pass"):
		// Test runners print PASS: and a name.
		return assigned || name == "pass" && featured(value)
	case strong:
		return true
	case number(value), strings.ContainsAny(value, " \t"):
		return false
	case featured(value):
		return len(value) >= 6
	}
	return len(value) >= 8 && (assigned || !bare)
}
