package redact

import (
	"strings"
	"unicode/utf8"
)

// maxLayers bounds through how many encodings, one in another, is looked.
const maxLayers = 4

// view is a text as it reads after some decoding, and where its bytes come
// from.
type view struct {
	text string
	// from is by byte of text, and one more for its end, where in the original
	// it begins; nil: at the same place.
	from []int
}

func plainView(s string) view { return view{text: s} }

func (v view) start(i int) int {
	if v.from == nil {
		return i
	}
	return v.from[i]
}

// end is where the byte before i ends in the original. Characters that were
// left out after it belong to it.
func (v view) end(i int) int { return v.start(i) }

// decoded takes one layer of JSON string escapes, URL escapes and characters
// without width off the view, and reports whether there was one.
func (v view) decoded() (view, bool) {
	if !strings.ContainsAny(v.text, "%\\") && !hasInvisible(v.text) {
		return v, false
	}
	text := make([]byte, 0, len(v.text))
	from := make([]int, 0, len(v.text)+1)
	changed := false
	for i := 0; i < len(v.text); {
		r, n := unescape(v.text[i:])
		switch {
		case n == 0: // no escape
			text, from = append(text, v.text[i]), append(from, v.start(i))
			i++
			continue
		case r < 0: // left out
		case r < utf8.RuneSelf:
			text, from = append(text, byte(r)), append(from, v.start(i))
		default:
			before := len(text)
			text = utf8.AppendRune(text, r)
			for range len(text) - before {
				from = append(from, v.start(i))
			}
		}
		changed = true
		i += n
	}
	from = append(from, v.start(len(v.text)))
	return view{string(text), from}, changed
}

// unescape reads an escape at the beginning of s: the character that it stands
// for (negative: none) and its length (0: s begins with no escape).
func unescape(s string) (rune, int) {
	switch {
	case s[0] == '%' && len(s) >= 3:
		if hi, lo := hexDigit(s[1]), hexDigit(s[2]); hi >= 0 && lo >= 0 {
			return percent(s, rune(hi<<4|lo))
		}
	case s[0] == '\\' && len(s) >= 2:
		switch s[1] {
		case '"', '\'', '\\', '/':
			return rune(s[1]), 2
		case 'n', 'r', 't', 'b', 'f':
			return rune("\n\r\t\b\f"[strings.IndexByte("nrtbf", s[1])]), 2
		case 'u':
			return unicodeEscape(s)
		}
	case s[0] >= utf8.RuneSelf:
		if r, n := utf8.DecodeRuneInString(s); invisible(r) {
			return -1, n
		}
	}
	return 0, 0
}

// percent reads the whole character of which s begins with the first byte,
// escaped; a byte that begins none is itself.
func percent(s string, first rune) (rune, int) {
	if first < utf8.RuneSelf {
		return first, 3
	}
	buf := []byte{byte(first)}
	for i := 3; i+3 <= len(s) && s[i] == '%' && len(buf) < utf8.UTFMax; i += 3 {
		hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
		if hi < 0 || lo < 0 {
			break
		}
		buf = append(buf, byte(hi<<4|lo))
		if r, n := utf8.DecodeRune(buf); r != utf8.RuneError && n == len(buf) {
			return r, i + 3
		}
	}
	return utf8.RuneError, 3
}

func unicodeEscape(s string) (rune, int) {
	if len(s) < 6 {
		return 0, 0
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		d := hexDigit(c)
		if d < 0 {
			return 0, 0
		}
		r = r<<4 | rune(d)
	}
	if invisible(r) {
		return -1, 6
	}
	return r, 6
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// invisible reports characters that split a word without being seen.
func invisible(r rune) bool {
	switch {
	case r == 0x00AD, r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E,
		r >= 0x2060 && r <= 0x2069, r == 0xFEFF, r >= 0xE0000 && r <= 0xE007F:
		return true
	}
	return false
}

func hasInvisible(s string) bool {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if invisible(r) {
			return true
		}
		i += n
	}
	return false
}
