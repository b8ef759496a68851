package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteJSON writes one document, indented by two spaces, with a newline at its
// end. It looks the same on a terminal and in a pipe, so that what a person
// has seen is what a program gets.
func WriteJSON(w io.Writer, doc any) error { return writeJSON(w, doc, "  ") }

// WriteJSONLine writes one document on one line, as the guards do.
func WriteJSONLine(w io.Writer, doc any) error { return writeJSON(w, doc, "") }

// writeJSON encodes before it writes, so that a document which can't be
// encoded leaves nothing on w.
func writeJSON(w io.Writer, doc any, indent string) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("encode the result as JSON: %w", err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Style is a way to set off a word on a terminal.
type Style string

// The styles. Colour never carries meaning alone: the word says it too.
const (
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// And is both styles at once.
func (s Style) And(other Style) Style {
	if s == "" || other == "" {
		return s + other
	}
	return s + ";" + other
}

// Paint sets text in a style when colours are allowed, else returns it as it is.
func (e *Env) Paint(s Style, text string) string {
	if !e.Colour || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Visible makes control characters visible, except newline and tab: names of
// processes, files and devices come from others, and an escape sequence in one
// must not act on the reader's terminal.
func Visible(s string) string { return visible(s, "\n\t") }

func visible(s, keep string) string {
	clean := func(r rune) bool {
		return r == unicode.ReplacementChar || (unicode.In(r, unicode.Cc, unicode.Cf) && !strings.ContainsRune(keep, r))
	}
	if !strings.ContainsFunc(s, clean) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !clean(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
