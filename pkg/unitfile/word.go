package unitfile

import (
	"errors"
	"fmt"
	"strings"
)

// Word is a value that can be part of a longer one: a Text, a Specifier, or a
// Concat of them.
type Word interface {
	Value
	parts() ([]part, error)
}

// part is a piece of a word: literal text, or a specifier, which is written as
// it is and expanded by systemd after the line was split into words.
type part struct {
	text      string
	specifier bool
}

// Text is literal text; a percent sign in it means itself.
type Text string

func (v Text) parts() ([]part, error) { return []part{{text: string(v)}}, nil }
func (v Text) text() (string, error)  { return join(v) }

// Specifier is a percent specifier of systemd.unit(5) by its letter: 'i' is
// the instance as it stands in the unit's name, 'I' is it unescaped (which
// turns hyphens into slashes).
type Specifier rune

func (v Specifier) parts() ([]part, error) {
	if (v < 'a' || v > 'z') && (v < 'A' || v > 'Z') {
		return nil, fmt.Errorf("specifier %q is not a letter", rune(v))
	}
	return []part{{text: "%" + string(v), specifier: true}}, nil
}
func (v Specifier) text() (string, error) { return join(v) }

// Concat is its words without anything between them.
type Concat []Word

func (v Concat) parts() ([]part, error) {
	var all []part
	for _, w := range v {
		if w == nil {
			return nil, errors.New("a part of a word is missing")
		}
		ps, err := w.parts()
		if err != nil {
			return nil, err
		}
		all = append(all, ps...)
	}
	return all, nil
}
func (v Concat) text() (string, error) { return join(v) }

// join writes a word that stands alone and is not split by systemd.
func join(w Word) (string, error) {
	ps, err := w.parts()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range ps {
		if p.specifier {
			b.WriteString(p.text)
		} else {
			b.WriteString(escapePercent(p.text))
		}
	}
	return b.String(), nil
}

// Env is an assignment for Environment=.
type Env struct {
	Name  string
	Value Word
}

func (v Env) text() (string, error) {
	for i, r := range v.Name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return "", fmt.Errorf("%q is no name of an environment variable", v.Name)
		}
	}
	if v.Name == "" || v.Value == nil {
		return "", errors.New("an environment variable needs a name and a value")
	}
	return quote(Concat{Text(v.Name + "="), v.Value}, false)
}

// Exec is a command line. It is never given to a shell, and no environment
// variable is expanded in it.
type Exec struct {
	// Prefix holds the marks before the path, such as "-" for a failure that
	// is not one, or "+" for full privileges.
	Prefix string
	// Path is the absolute path of the program.
	Path Word
	Args []Word
}

// Command is an Exec whose words are all literal.
func Command(path string, args ...string) Exec {
	e := Exec{Path: Text(path)}
	for _, a := range args {
		e.Args = append(e.Args, Text(a))
	}
	return e
}

func (v Exec) text() (string, error) {
	// "@" would make the first argument the program's name, and ":" would
	// change what a dollar sign means.
	if strings.Trim(v.Prefix, "-+!") != "" {
		return "", fmt.Errorf("prefix %q: the marks are -, ! and +", v.Prefix)
	}
	if v.Path == nil {
		return "", errors.New("a command needs the path of its program")
	}
	plain, err := join(v.Path)
	if err != nil {
		return "", err
	}
	if err := checkPath(plain); err != nil {
		return "", fmt.Errorf("program: %w", err)
	}
	if strings.HasSuffix(plain, "/") {
		return "", fmt.Errorf("program %q is a folder", plain)
	}
	if strings.Contains(plain, "$") {
		return "", fmt.Errorf("program %q: systemd reads a dollar sign in a path as it is, other programs do not", plain)
	}
	program, err := quote(v.Path, false)
	if err != nil {
		return "", err
	}
	words := []string{v.Prefix + program}
	for _, a := range v.Args {
		if a == nil {
			return "", errors.New("an argument is missing")
		}
		w, err := quote(a, true)
		if err != nil {
			return "", err
		}
		words = append(words, w)
	}
	return strings.Join(words, " "), nil
}

// quote writes a word of a list that systemd splits at white space, by the
// rules of systemd.syntax(7) and, where dollar is set, of the command lines in
// systemd.service(5): there a dollar sign would begin a variable.
func quote(w Word, dollar bool) (string, error) {
	ps, err := w.parts()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range ps {
		if p.specifier {
			b.WriteString(p.text)
			continue
		}
		for i := range len(p.text) {
			switch c := p.text[i]; {
			case c == '%', c == '$' && dollar:
				b.WriteByte(c)
			case c == '"', c == '\\':
				b.WriteByte('\\')
			}
			b.WriteByte(p.text[i])
		}
	}
	text := b.String()
	if text != "" && strings.Trim(text, plainCharacters) == "" {
		return text, nil
	}
	return `"` + text + `"`, nil
}

// plainCharacters need no quotes anywhere in a word. Among those that do are
// the semicolon, which alone would begin a second command, and the backslash.
const plainCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%$@:+-_./=,"
