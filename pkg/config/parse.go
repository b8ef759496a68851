package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxProblems bounds what one file is told of, and with it the time that a
// hopeless file takes.
const maxProblems = 50

// maxParts bounds how many names with dots between them a key can be. The keys
// have four at most.
const maxParts = 4

// Parse reads a configuration. What the file does not set has its default.
// name stands for the file in messages. Every error is an *Error with all that
// is wrong; the Config is then the zero value.
func Parse(name string, data []byte) (Config, error) {
	if p, bad := unfit(data); bad {
		return Config{}, &Error{Name: name, Problems: []Problem{p}}
	}
	p := newParser(data)
	p.file()
	if len(p.problems) < maxProblems {
		p.combinations()
	}
	if len(p.problems) == 0 {
		return p.config, nil
	}
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	if len(p.problems) >= maxProblems {
		p.problems = append(p.problems[:maxProblems], Problem{Message: "there may be more; the reader stopped here"})
	}
	return Config{}, &Error{Name: name, Problems: p.problems}
}

// parser walks the file's expressions and sets the keys that they name. It
// knows the tables of the file only as far as needed to refuse what TOML
// forbids: a key or a table that is defined twice.
type parser struct {
	toml     unstable.Parser
	newlines []int // offsets
	config   Config
	keys     map[string]definition
	problems []Problem
	roomLine map[string]int // where a room begins

	set    map[string]int   // key -> line
	items  map[string][]int // key of a list -> line of each item
	wrong  map[string]bool  // key -> has a problem
	tables map[string]table
	block  int // counts headers and inline tables
}

// table is how a table came about.
type table struct {
	origin origin
	line   int
	block  int // in which a dotted key made it
}

type origin int

const (
	implied origin = iota // a header named something below it
	header
	dotted
	inline
)

func newParser(data []byte) *parser {
	p := &parser{
		config: Default(),
		keys:   map[string]definition{},
		set:    map[string]int{},
		items:  map[string][]int{},
		wrong:  map[string]bool{},
		tables: map[string]table{},

		roomLine: map[string]int{},
	}
	for _, d := range definitions() {
		p.keys[d.path] = d
	}
	p.toml.Reset(data)
	for i, c := range data {
		if c == '\n' {
			p.newlines = append(p.newlines, i)
		}
	}
	return p
}

// lineAt gives the line of an offset.
func (p *parser) lineAt(offset uint32) int {
	return sort.SearchInts(p.newlines, int(offset)) + 1
}

func (p *parser) problem(line int, key, format string, args ...any) {
	p.wrong[key] = true
	p.problems = append(p.problems, Problem{Line: line, Key: cut(key, 100), Message: fmt.Sprintf(format, args...)})
}

// file reads the expressions one after the other.
func (p *parser) file() {
	var under []string // the table of the last header
	known := true      // it is a table of ours
	for p.toml.NextExpression() && len(p.problems) < maxProblems {
		e := p.toml.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			p.block++
			var line int
			under, line = p.path(e.Key())
			known = p.header(under, line, e.Kind == unstable.ArrayTable)
		case unstable.KeyValue:
			if known {
				p.keyValue(under, e)
			}
		}
	}
	err := p.toml.Error()
	if err == nil {
		return
	}
	var syntax *unstable.ParserError
	if errors.As(err, &syntax) {
		line := len(p.newlines) + 1 // nothing is highlighted only at the end
		if len(syntax.Highlight) > 0 {
			line = p.lineAt(p.toml.Range(syntax.Highlight).Offset)
		}
		p.problem(line, "", "not TOML: %s; write name = value, one a line, with text in quotes", visible(syntax.Message))
		return
	}
	p.problem(0, "", "not TOML: %v", err)
}

// visible writes out the control characters that the TOML reader quotes as they
// are, so that a message stays one line and steers no terminal.
func visible(message string) string {
	var b strings.Builder
	for _, r := range message {
		if unicode.IsControl(r) || r == utf8.RuneError {
			b.WriteString(strconv.QuoteRuneToASCII(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// path gives the parts of a key, and the line on which it stands.
func (p *parser) path(key unstable.Iterator) (parts []string, line int) {
	for key.Next() {
		if line == 0 {
			line = p.lineAt(key.Node().Raw.Offset)
		}
		parts = append(parts, bare(string(key.Node().Data)))
	}
	return parts, line
}

// bare writes a part of a key so that no quoted dot can pass for a separator.
func bare(part string) string {
	if part != "" && !strings.ContainsFunc(part, func(r rune) bool { return !letterOrDigit(r) && r != '-' && r != '_' }) {
		return part
	}
	return strconv.Quote(part)
}

// header opens a table and tells whether its keys are worth a look.
func (p *parser) header(parts []string, line int, array bool) bool {
	key := strings.Join(parts, ".")
	path, _ := generic(parts)
	switch {
	case array:
		p.problem(line, key, "no list of tables is known; write [%s] for a table", cut(key, 100))
		return false
	case p.keys[path].at != nil:
		p.problem(line, key, "is a key and no table; write %s below [%s]", parts[len(parts)-1], strings.Join(parts[:len(parts)-1], "."))
		return false
	case !isTable(path):
		p.problem(line, key, "unknown table; %s", suggestTable(path))
		return false
	case !p.room(parts, line):
		return false
	}
	for i := range parts[:len(parts)-1] {
		above := strings.Join(parts[:i+1], ".")
		t, seen := p.tables[above]
		if t.origin == inline {
			p.problem(line, key, "%s is written in braces on line %d, and is complete there", above, t.line)
			return false
		}
		if !seen {
			p.tables[above] = table{origin: implied, line: line}
		}
	}
	if t, seen := p.tables[key]; seen && t.origin != implied {
		p.problem(line, key, "the table is already defined on line %d; a table is written once", t.line)
		return false
	}
	p.tables[key] = table{origin: header, line: line}
	return true
}

// keyValue handles name = value, where name may be dotted and value may be a
// table in braces.
func (p *parser) keyValue(under []string, e *unstable.Node) {
	parts, line := p.path(e.Key())
	all := slices.Concat(under, parts)
	key := strings.Join(all, ".")
	if len(all) > maxParts {
		p.problem(line, key, "unknown key; no key has more than %d parts", maxParts)
		return
	}
	for i := len(under) + 1; i < len(all); i++ {
		above := strings.Join(all[:i], ".")
		t, seen := p.tables[above]
		if seen && (t.origin != dotted || t.block != p.block) {
			p.problem(line, key, "%s is already defined on line %d; a table is written once", cut(above, 100), t.line)
			return
		}
		if !seen {
			p.tables[above] = table{origin: dotted, line: line, block: p.block}
		}
	}
	value := e.Value()
	path, name := generic(all)
	d, isKey := p.keys[path]
	if name != "" && (isKey || isTable(path)) {
		if !p.room(all, line) {
			return
		}
		if isKey {
			d = d.inRoom(name)
		}
	}
	switch first, again := p.set[key]; {
	case again:
		p.problem(line, key, "is already set on line %d; a key is set once", first)
	case isKey:
		p.set[key] = line
		p.value(d, value, line)
	case !isTable(path):
		p.problem(line, key, "unknown key; %s", suggestKey(all))
	case value.Kind != unstable.InlineTable:
		p.problem(line, key, "is a table and no key; write [%s] and its keys below", key)
	default:
		p.braces(all, value, line)
	}
}

// braces handles a table in braces.
func (p *parser) braces(parts []string, value *unstable.Node, line int) {
	key := strings.Join(parts, ".")
	if t, seen := p.tables[key]; seen {
		p.problem(line, key, "the table is already defined on line %d; a table is written once", t.line)
		return
	}
	p.tables[key] = table{origin: inline, line: line}
	outer := p.block
	p.block = -len(p.tables) // a block of its own, which no header has
	for it := value.Children(); it.Next() && len(p.problems) < maxProblems; {
		p.keyValue(parts, it.Node())
	}
	p.block = outer
}
