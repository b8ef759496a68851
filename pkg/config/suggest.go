package config

import (
	"fmt"
	"slices"
	"strings"
)

// isTable tells whether path is a table that holds keys or tables.
func isTable(path string) bool {
	return slices.Contains(tables(), path)
}

// tables lists the tables, those that hold nothing but tables included.
func tables() []string {
	var all []string
	for _, s := range sections() {
		for i, c := range s.path + "." {
			if above := s.path[:i]; c == '.' && !slices.Contains(all, above) {
				all = append(all, above)
			}
		}
	}
	return all
}

// suggestTable says what an unknown table might have been meant to be.
func suggestTable(path string) string {
	if best, ok := nearest(path, tables()); ok {
		return "did you mean [" + best + "]?"
	}
	return "the tables are " + strings.Join(tables(), ", ")
}

// suggestKey says what an unknown key might have been meant to be: one of the
// same table, else the key of that name elsewhere, else any that is near.
func suggestKey(parts []string) string {
	path, name := generic(parts)
	under, _ := generic(parts[:len(parts)-1])
	leaf := parts[len(parts)-1]
	// What is suggested has the name that the file has.
	said := func(path string) string {
		if name == "" {
			return path
		}
		return strings.Replace(path, AnyName, name, 1)
	}
	var all, leaves, named []string
	for _, d := range definitions() {
		all = append(all, d.path)
		table, name := split(d.path)
		if table == under {
			leaves = append(leaves, name)
		}
		if fold(name) == fold(leaf) {
			named = append(named, d.path)
		}
	}
	if best, ok := nearest(leaf, leaves); ok {
		return "did you mean " + strings.TrimPrefix(said(under)+"."+best, ".") + "?"
	}
	if len(named) > 0 {
		return "did you mean " + strings.Join(named, " or ") + "?"
	}
	if best, ok := nearest(path, append(all, tables()...)); ok && name == "" {
		return "did you mean " + best + "?"
	}
	if len(leaves) > 0 {
		return fmt.Sprintf("the keys of [%s] are %s", said(under), strings.Join(leaves, ", "))
	}
	return "the tables are " + strings.Join(tables(), ", ")
}

// split cuts the last part off a path.
func split(path string) (table, name string) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// fold makes spellings alike that differ in case, hyphens and underscores.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// nearest gives the candidate that s is a misspelling of, if there is one: not
// more than a third of it may differ, unless s is its beginning.
func nearest(s string, candidates []string) (string, bool) {
	s = fold(s)
	best, least := "", -1
	if len(s) > 60 {
		return "", false
	}
	for _, c := range candidates {
		f := fold(c)
		d := distance(s, f)
		near := d <= max(1, len(f)/3) || len(s) >= 4 && strings.HasPrefix(f, s)
		if near && (least < 0 || d < least) {
			best, least = c, d
		}
	}
	return best, least >= 0
}

// distance counts the edits that make b of a: a letter more, less, other, or
// two neighbours swapped.
func distance(a, b string) int {
	row := func() []int { return make([]int, len(b)+1) }
	before, last, now := row(), row(), row()
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			other := 1
			if a[i-1] == b[j-1] {
				other = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+other)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}

// cut shortens s to at most n bytes of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// alternatives lists the values that can be written.
func alternatives(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + v + `"`
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}
