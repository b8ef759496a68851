package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ryjen/dubnium/pkg/mode"
)

// value sets the key of d, or reports what is wrong with the value.
func (p *parser) value(d definition, v *unstable.Node, line int) {
	switch at := d.at(&p.config).(type) {
	case *bool:
		if v.Kind != unstable.Bool {
			p.mismatch(d, v, line)
			return
		}
		*at = string(v.Data) == "true"
	case *int:
		p.integer(d, v, line, at)
	case **int:
		var n int
		if p.integer(d, v, line, &n) {
			*at = &n
		}
	case *[]int:
		p.integers(d, v, line, at)
	case *string:
		p.text(d, v, line, at)
	case *mode.Mode:
		p.text(d, v, line, (*string)(at))
	case *Runtime:
		p.text(d, v, line, (*string)(at))
	case *Placement:
		p.text(d, v, line, (*string)(at))
	case *Network:
		p.text(d, v, line, (*string)(at))
	case *RemoteSessions:
		p.text(d, v, line, (*string)(at))
	case *Embedder:
		p.text(d, v, line, (*string)(at))
	case *[]string:
		p.texts(d, v, line, at)
	case *Duration:
		p.duration(d, v, line, at)
	case *Size:
		p.size(d, v, line, at)
	default:
		panic(fmt.Sprintf("config: %s has a field of type %T, which no value can be set on", d.path, at))
	}
}

// mismatch reports a value of another type than the key's.
func (p *parser) mismatch(d definition, v *unstable.Node, line int) {
	p.problem(line, d.path, "is %s; write %s, such as %s", kindText(v), d.wanted(), d.example)
}

func (p *parser) integer(d definition, v *unstable.Node, line int, at *int) bool {
	if v.Kind != unstable.Integer {
		p.mismatch(d, v, line)
		return false
	}
	text := string(v.Data)
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < d.min || n > d.max {
		p.problem(line, d.path, "%s is not right; write %s, such as %s", cut(text, 40), d.wantedItem(), d.exampleItem())
		return false
	}
	*at = n
	return true
}

// list goes through the items of a list. take sets one and tells whether it
// was right.
func (p *parser) list(d definition, v *unstable.Node, line int, take func(item *unstable.Node, line int) bool) bool {
	if v.Kind != unstable.Array {
		p.mismatch(d, v, line)
		return false
	}
	right := true
	var lines []int
	for it := v.Children(); it.Next() && len(p.problems) < maxProblems; {
		item := it.Node()
		at := line
		if item.Raw.Length > 0 {
			at = p.lineAt(item.Raw.Offset)
		}
		lines = append(lines, at)
		right = take(item, at) && right
	}
	p.items[d.path] = lines
	return right
}

func (p *parser) integers(d definition, v *unstable.Node, line int, at *[]int) {
	all := []int{}
	right := p.list(d, v, line, func(item *unstable.Node, line int) bool {
		var n int
		if !p.integer(d, item, line, &n) {
			return false
		}
		if slices.Contains(all, n) {
			p.problem(line, d.path, "%d is there twice; list it once", n)
			return false
		}
		all = append(all, n)
		return true
	})
	if right {
		*at = all
	}
}

func (p *parser) texts(d definition, v *unstable.Node, line int, at *[]string) {
	all := []string{}
	seen := map[string]bool{}
	right := p.list(d, v, line, func(item *unstable.Node, line int) bool {
		if item.Kind != unstable.String {
			p.mismatch(d, item, line)
			return false
		}
		s := string(item.Data)
		if wrong := d.wrongText(s); wrong != "" {
			p.problem(line, d.path, "%q %s", cut(s, 80), wrong)
			return false
		}
		if seen[s] && !d.repeat {
			p.problem(line, d.path, "%q is there twice; list it once", cut(s, 80))
			return false
		}
		seen[s] = true
		all = append(all, s)
		return true
	})
	if right && len(all) == 0 && !d.empty {
		p.problem(line, d.path, "is empty; write %s, such as %s", d.wanted(), d.example)
		return
	}
	if right {
		*at = all
	}
}

func (p *parser) text(d definition, v *unstable.Node, line int, at *string) {
	if v.Kind != unstable.String {
		p.mismatch(d, v, line)
		return
	}
	s := string(v.Data)
	if s == "" && d.empty {
		*at = ""
		return
	}
	if wrong := d.wrongText(s); wrong != "" {
		said := fmt.Sprintf("%q", cut(s, 80))
		if d.private {
			said = "the value"
		}
		p.problem(line, d.path, "%s %s", said, wrong)
		return
	}
	*at = s
}

// wrongText says what is wrong with a string or an item of a list.
func (d definition) wrongText(s string) string {
	switch {
	case s == "":
		return "is empty; write " + d.wantedItem() + ", such as " + d.exampleItem()
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has a control character in it; write it without"
	case d.enum != nil && !slices.Contains(d.enum, s):
		return "is not known; write " + alternatives(d.enum)
	case d.check != nil:
		return d.check(s)
	}
	return ""
}

func (p *parser) duration(d definition, v *unstable.Node, line int, at *Duration) {
	if v.Kind != unstable.String {
		p.mismatch(d, v, line)
		return
	}
	value, err := ParseDuration(string(v.Data))
	switch {
	case err != nil:
		p.problem(line, d.path, "%v", err)
	case value == 0 && d.zero:
		*at = 0
	case value < MinDuration || value > MaxDuration:
		p.problem(line, d.path, "%q is out of bounds; write %s, such as %s", cut(string(v.Data), 40), d.wanted(), d.example)
	default:
		*at = value
	}
}

func (p *parser) size(d definition, v *unstable.Node, line int, at *Size) {
	if v.Kind != unstable.String {
		p.mismatch(d, v, line)
		return
	}
	if len(v.Data) == 0 && d.empty {
		*at = 0
		return
	}
	value, err := ParseSize(string(v.Data))
	switch {
	case err != nil:
		p.problem(line, d.path, "%v", err)
	case value == 0 && d.empty:
		p.problem(line, d.path, "0 would leave no memory at all; write \"\" for no limit, or a size, such as %s", d.example)
	default:
		*at = value
	}
}

// kindText says what a value is, for people.
func kindText(v *unstable.Node) string {
	switch v.Kind {
	case unstable.String:
		return fmt.Sprintf("the string %q", cut(string(v.Data), 40))
	case unstable.Bool:
		return string(v.Data)
	case unstable.Integer, unstable.Float:
		return "the number " + cut(string(v.Data), 40)
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a table"
	default:
		return "a date or time"
	}
}
