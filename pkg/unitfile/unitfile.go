// Package unitfile builds systemd unit files from typed values, over the unit
// options of go-systemd.
//
// go-systemd's serializer writes values as they are: a newline in one becomes
// a directive of its own. This package guarantees more. A text that Render
// gives holds exactly the directives that were put in, and go-systemd and
// systemd read them back with the same values; whatever could not be written
// so is an error that names unit, section and key. Percent signs are doubled
// unless they are meant as a Specifier, and the words of a command line are
// quoted by systemd's rules.
//
// The package knows how values are written, not which keys there are: an
// unknown key is found by systemd-analyze verify.
package unitfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/unit"
)

// MaxLine is the length in bytes that no line of a unit file reaches. systemd
// itself takes more; go-systemd reads no longer line back.
const MaxLine = unit.SYSTEMD_LINE_MAX

// commentWidth is the column at which comments are wrapped.
const commentWidth = 96

// File is a unit file, or a drop-in for one.
type File struct {
	// Name is the unit's name, or NAME.d/FILE.conf for a drop-in.
	Name string
	// Comments are paragraphs at the top of the file, before its first section.
	Comments []string
	Sections []Section
}

// Section is a section of a unit file with its entries in order.
type Section struct {
	Name    string
	Entries []Entry
}

// Entry is one directive.
type Entry struct {
	Key   string
	Value Value
	// Why is written above the directive as a comment, when there is one.
	Why string
}

// Options gives the directives as go-systemd's unit options, in the order in
// which Render writes them.
func (f File) Options() ([]*unit.UnitOption, error) {
	var opts []*unit.UnitOption
	err := f.each(func(section, key, value, _ string) error {
		opts = append(opts, unit.NewUnitOption(section, key, value))
		return nil
	})
	return opts, err
}

// Render gives the text of the file.
func (f File) Render() (string, error) {
	var b strings.Builder
	for i, text := range f.Comments {
		if i > 0 {
			b.WriteString("#\n")
		}
		if err := writeComment(&b, text); err != nil {
			return "", fmt.Errorf("unit %s: comment at the top: %w", f.Name, err)
		}
	}
	current := ""
	err := f.each(func(section, key, value, why string) error {
		if section != current {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "[%s]\n", section)
			current = section
		}
		if why != "" {
			if err := writeComment(&b, why); err != nil {
				return fmt.Errorf("comment: %w", err)
			}
		}
		fmt.Fprintf(&b, "%s=%s\n", key, value)
		return nil
	})
	if err != nil {
		return "", err
	}
	return b.String(), nil
}

// each calls do for every directive with its checked, escaped value.
func (f File) each(do func(section, key, value, why string) error) error {
	if err := checkFileName(f.Name); err != nil {
		return err
	}
	if len(f.Sections) == 0 {
		return fmt.Errorf("unit %s: it has no section", f.Name)
	}
	seen := map[string]bool{}
	for _, s := range f.Sections {
		switch {
		case !isIdentifier(s.Name):
			return fmt.Errorf("unit %s: section %q: a section's name is letters, digits and hyphens", f.Name, s.Name)
		case seen[s.Name]:
			return fmt.Errorf("unit %s: section %s is there twice", f.Name, s.Name)
		case len(s.Entries) == 0:
			return fmt.Errorf("unit %s: section %s is empty", f.Name, s.Name)
		}
		seen[s.Name] = true
		for _, e := range s.Entries {
			value, err := e.text()
			if err == nil {
				err = do(s.Name, e.Key, value, e.Why)
			}
			if err != nil {
				return fmt.Errorf("unit %s: section %s, key %s: %w", f.Name, s.Name, printable(e.Key), err)
			}
		}
	}
	return nil
}

// text is the value as it stands behind the equals sign.
func (e Entry) text() (string, error) {
	if !isIdentifier(e.Key) {
		return "", errors.New("a key is letters, digits and hyphens")
	}
	if e.Value == nil {
		return "", errors.New("it has no value; to clear a list use Reset")
	}
	value, err := e.Value.text()
	if err != nil {
		return "", err
	}
	if _, reset := e.Value.(reset); value == "" && !reset {
		return "", errors.New("the value is empty; to clear a list use Reset")
	}
	switch {
	case len(e.Key)+len("=")+len(value) >= MaxLine:
		return "", fmt.Errorf("the line is %d bytes long, the limit is %d", len(e.Key)+1+len(value), MaxLine)
	case strings.TrimSpace(value) != value:
		return "", fmt.Errorf("%q begins or ends with white space, which would be lost", value)
	case strings.HasSuffix(value, `\`):
		return "", fmt.Errorf("%q ends with a backslash, which would join it with the next line", value)
	}
	return value, checkCharacters(value)
}

// checkCharacters refuses what ends a line or could hide in one.
func checkCharacters(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not UTF-8", s)
	}
	for _, r := range s {
		// Cf holds the marks that turn the direction of writing, with which a
		// line can look like another one to the person who reads it.
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return fmt.Errorf("%q holds the control character %U", s, r)
		}
	}
	return nil
}

// writeComment writes text as comment lines.
func writeComment(b *strings.Builder, text string) error {
	if err := checkCharacters(text); err != nil {
		return err
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return errors.New("it is empty")
	}
	line := "#"
	for _, w := range words {
		// go-systemd reads such a comment on, into the next line.
		if strings.HasSuffix(w, `\`) {
			return fmt.Errorf("the word %q ends with a backslash", w)
		}
		if len(w) >= MaxLine-len("# ") {
			return fmt.Errorf("a word is %d bytes long, the limit of a line is %d", len(w), MaxLine)
		}
		if line != "#" && len(line)+1+len(w) > commentWidth {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + w
	}
	b.WriteString(line + "\n")
	return nil
}

// isIdentifier tells whether s can be the name of a section or a key.
func isIdentifier(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '-') {
			return false
		}
	}
	return s != ""
}

// printable is an identifier as it is, and anything else quoted.
func printable(key string) string {
	if isIdentifier(key) {
		return key
	}
	return fmt.Sprintf("%q", key)
}
