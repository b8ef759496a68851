package redact

import (
	"regexp"
	"strings"
)

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// notValues are the words that stand where a password would, in schemas,
// programs and prose.
var notValues = set(`none null nil undefined true false yes no on off optional required mandatory missing empty blank unset set string str
	text varchar char bytes int integer number bool boolean object any field input value secret password token key hidden masked redacted
	removed protected encrypted hashed salted stored saved kept sent shared used needed necessary generated created changed updated rotated
	reset expired expiring invalid valid correct incorrect wrong right unknown known weak strong long short secure insecure safe unsafe
	public private simple complex default same different unique random new old lost forgotten leaked compromised exposed visible plaintext
	plain clear cleartext readonly always never only still also already now currently probably must should can may will shall cannot could
	would please enter type choose ask asked see use using via from with without within inside under over after before until when where
	while because since if else then than more less at least most too very case-sensitive bcrypt argon2 argon2id scrypt pbkdf2 sha1 sha256
	sha384 sha512 md5 hmac base64 aes aes256 rsa ed25519 utf8 utf-8 oauth oauth2 sso saml ldap pam totp 2fa mfa webauthn u2f passkey
	disabled enabled allowed denied accepted rejected checked verified validated available unavailable self this that these those it its
	your their our his her my another other something anything nothing everything each every all both either neither one two three
	revoked refreshed signed issued scoped limited active inactive pending configured supplied provided passed given entered typed
	printed logged written read loaded injected mounted managed handled supported deprecated obsolete ignored dropped deleted`)

// functionWords are the words that hold sentences together; a passphrase has
// none.
var functionWords = set(`a an the of to in on at by for from with without and or not but as is are was were be been being it its this that
	these those there here has have had do does did so if then than too very when where who whom which what how why about into onto over
	under between after before until while because since per via`)

var (
	digits     = regexp.MustCompile(`^[0-9][0-9.,_]*$`)
	date       = regexp.MustCompile(`^(?:[0-9]{1,4}[-/.][0-9]{1,2}(?:[-/.][0-9]{1,4})?(?:T.*)?|[0-9]{1,2}:[0-9]{2}.*)$`)
	measure    = regexp.MustCompile(`^(?i)(?:v?[0-9]+(?:\.[0-9]+)*|[0-9.]+-?(?:[kmgt]?i?b|bits?|bytes?|chars?|ms|s|m|h|d|days?|hours?|weeks?|x|th|st|nd|rd|%|fa))$`)
	algorithm  = regexp.MustCompile(`^(?i)(?:sha-?[0-9/]+|md[245]|aes-?[0-9]*(?:-[a-z]+)?|rsa-?[0-9]*|base(?:16|32|58|64)(?:url)?|argon2(?:i|d|id)?|pbkdf2|utf-?8|oauth-?2?(?:\.0)?|x\.?509|ed25519|hs256|rs256|es256|http2?|ipv[46]|k8s|k3s|s3|ec2)$`)
	hyphenated = regexp.MustCompile(`^[A-Za-z]+(?:[-/'’][A-Za-z]+)+$`)
	algoHyphen = regexp.MustCompile(`^(?i)[a-z]*[0-9]+[a-z]*-(?:encoded|hashed|encrypted|based|protected|signed|derived|bit|byte|character|char|digit|word|day|hour|style|like|only|compatible)$`)
	screaming  = regexp.MustCompile(`^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$`)
	// chain is a name in a program: config.password, args.token.
	chain    = regexp.MustCompile(`^(?:[A-Za-z_]+\.)+[A-Za-z_]+[);,]*$`)
	variable = regexp.MustCompile(`^(?:\$\{?[A-Za-z_]+\}?|\$\{?[A-Z_][A-Z0-9_]*\}?|\$\{[^}]*\}?|\$\(.*|\{\{.*|<[^>]*>?|%[(\[{].*|%[a-z]|@[A-Z_]+@|!\w+ .*)$`)
	lookup   = regexp.MustCompile(`^(?:os\.|process\.env|env[.:\[(]|ENV\[|System\.getenv|getenv|secrets?\.|vault:|op://|file:|ssm:|arn:|/(?:run|etc|var|home|usr|opt|root|tmp|proc|nix|mnt|srv|dev)/|\.{1,2}/|~/|!vault|your[-_ ]|my[-_](?:password|token|secret)|example|https?://)`)
	call     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*\(`)
)

// reference reports a value that says where the secret is and is none.
func reference(s string) bool {
	return variable.MatchString(s) || lookup.MatchString(s) || call.MatchString(s)
}

// masked reports a value of one character repeated, or of stars.
func masked(s string) bool {
	trimmed := strings.Trim(s, "*xX.•…-_#?")
	return trimmed == "" || len(s) >= 3 && strings.Trim(s, s[:1]) == "" && s[0] < 0x80
}

// number reports counts, dates and measures.
func number(s string) bool {
	return digits.MatchString(s) || date.MatchString(s) || measure.MatchString(s)
}

// featured reports what is no word, name, number or date: it mixes letters with
// digits, cases or signs as chosen passwords and keys do.
func featured(s string) bool {
	s = strings.Trim(s, `"'.,;:()[]{}“”‘’`)
	switch {
	case len(s) < 4, algorithm.MatchString(s), hyphenated.MatchString(s), algoHyphen.MatchString(s), screaming.MatchString(s), reference(s), masked(s):
		return false
	case notValues[strings.ToLower(s)]:
		return false
	case digits.MatchString(s):
		return len(s) >= 6 && !strings.ContainsAny(s, ".,_")
	case number(s):
		return false
	}
	return hasDigit(s) && hasLetter(s) || innerCapital(s) || strings.ContainsAny(s[1:len(s)-1], "!@#$%^&*~+=?") && hasLetter(s)
}

func hasDigit(s string) bool { return strings.ContainsAny(s, "0123456789") }

func hasLetter(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80 }) >= 0
}

// innerCapital reports a capital after a small letter.
func innerCapital(s string) bool {
	for i := 1; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' && s[i-1] >= 'a' && s[i-1] <= 'z' {
			return true
		}
	}
	return false
}

// hasDigitOrMixedCase tells a key from words that happen to begin like one.
func hasDigitOrMixedCase(s string) bool { return hasDigit(s) || innerCapital(s) }
