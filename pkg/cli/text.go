package cli

import (
	"strings"
	"unicode"
)

// FirstParagraph is the text of a manual up to its first blank line, on one
// line.
func FirstParagraph(manual string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(manual), "\n\n")
	return strings.Join(strings.Fields(first), " ")
}

// wrap breaks text at spaces into lines of at most width columns. A word that
// is longer has a line of its own.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(text) {
		w := columns(word)
		if line != "" && used+1+w > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if line != "" {
			line += " "
			used++
		}
		line += word
		used += w
	}
	return append(lines, line)
}

// writeWrapped writes text within width columns; first and then rest come
// before its lines and have the same width.
func writeWrapped(b *strings.Builder, first, rest, text string, width int) {
	lead := first
	for _, line := range wrap(text, width-columns(first)) {
		b.WriteString(strings.TrimRight(lead+line, " ") + "\n")
		lead = rest
	}
}

// Paragraph is text with an indent and a newline: on a terminal wrapped to its
// width, elsewhere one line.
func (e *Env) Paragraph(indent, text string) string {
	text = visible(text, "")
	if !e.Terminal {
		return indent + text + "\n"
	}
	var b strings.Builder
	writeWrapped(&b, indent, indent, text, e.Width)
	return b.String()
}

// columns is the number of terminal columns that s takes: none for marks that
// combine, two for the wide scripts of East Asia and for emoji.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// truncate shortens s to at most width columns, with an ellipsis in the place
// of what is missing.
func truncate(s string, width int) string {
	if columns(s) <= width {
		return s
	}
	used := 0
	for i, r := range s {
		if used+runeColumns(r) > width-1 {
			return s[:i] + "…"
		}
		used += runeColumns(r)
	}
	return s
}
