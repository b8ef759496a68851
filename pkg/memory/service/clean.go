package service

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/redact"
	"github.com/ryjen/dubnium/pkg/memory/residue"
)

// cleaner takes the secrets out of the texts of a request and notes what it
// did.
type cleaner struct {
	redactions []memory.Redaction
	flags      map[residue.Flag]bool
	refused    memory.Invalid
}

func (c *cleaner) note(field string, found []redact.Finding) {
	for _, f := range found {
		if f.Field != "" {
			field = f.Field
		}
		c.redactions = append(c.redactions, memory.Redaction{Field: field, Rule: f.Rule, Offset: f.Offset, Length: f.Length})
	}
}

// text redacts s.
func (c *cleaner) text(field, s string) string {
	if s == "" {
		return s
	}
	clean, found := redact.Text(s)
	c.note(field, found)
	return clean
}

// content redacts s and flags what is left: for text that is returned to
// agents.
func (c *cleaner) content(field, s string) string {
	s = c.text(field, s)
	c.flag(s)
	return s
}

func (c *cleaner) flag(s string) {
	if s == "" {
		return
	}
	for _, f := range residue.Scan(s) {
		if c.flags == nil {
			c.flags = make(map[residue.Flag]bool)
		}
		c.flags[f] = true
	}
}

// object redacts a JSON object and flags its strings; nil becomes empty.
func (c *cleaner) object(field string, o memory.Object) memory.Object {
	if len(o) == 0 {
		return memory.Object{}
	}
	v, found := redact.Value(map[string]any(o), field)
	c.note(field, found)
	clean := v.(map[string]any)
	c.walk(clean)
	return clean
}

func (c *cleaner) walk(v any) {
	switch v := v.(type) {
	case string:
		c.flag(v)
	case []any:
		for _, e := range v {
			c.walk(e)
		}
	case map[string]any:
		for k, e := range v {
			c.flag(k)
			c.walk(e)
		}
	}
}

// label refuses a name that holds a secret: it says what something is, and
// would be another thing without it.
func (c *cleaner) label(field, s string) {
	if s == "" {
		return
	}
	if _, found := redact.Text(s); len(found) > 0 {
		c.refused = append(c.refused, memory.FieldError{Field: field, Reason: "secret", Message: "looks like a secret (" + found[0].Rule + "): it names something and cannot be redacted"})
	}
}

// err is what was refused, or nil.
func (c *cleaner) err() error {
	if len(c.refused) == 0 {
		return nil
	}
	return c.refused
}

// list gives the flags, sorted.
func (c *cleaner) list() []string {
	flags := make([]string, 0, len(c.flags))
	for f := range c.flags {
		flags = append(flags, string(f))
	}
	slices.Sort(flags)
	return flags
}

// done gives the redactions, never nil.
func (c *cleaner) done() []memory.Redaction {
	if c.redactions == nil {
		return []memory.Redaction{}
	}
	return c.redactions
}
