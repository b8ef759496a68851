package memory

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Scope is the boundary of every read and write: a kind and a name, such as
// project:dubnium. Two scopes are the same when their text is the same; there
// are no patterns and no hierarchy, so none can leak into another.
type Scope string

// ScopeKinds are the words that a scope may begin with.
var ScopeKinds = []string{"personal", "project", "session", "agent", "workflow"}

// MaxScope is the longest scope, in characters.
const MaxScope = 256

// Kind is the part before the colon.
func (s Scope) Kind() string {
	kind, _, _ := strings.Cut(string(s), ":")
	return kind
}

// Check says what is wrong with the scope, or nil.
func (s Scope) Check() error {
	text := string(s)
	kind, name, found := strings.Cut(text, ":")
	switch {
	case text == "":
		return fmt.Errorf("is empty: name the boundary, such as project:dubnium")
	case !utf8.ValidString(text):
		return fmt.Errorf("is not valid UTF-8")
	case utf8.RuneCountInString(text) > MaxScope:
		return fmt.Errorf("is longer than %d characters", MaxScope)
	case !found || !slices.Contains(ScopeKinds, kind):
		return fmt.Errorf("begins with none of %s", strings.Join(ScopeKinds, ":, ")+":")
	case name == "":
		return fmt.Errorf("has no name after its kind")
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("has space around its name")
	case strings.ContainsFunc(text, hidden):
		return fmt.Errorf("holds a control or invisible character")
	}
	return nil
}

// hidden is true of what a reader of a scope would not see.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}
