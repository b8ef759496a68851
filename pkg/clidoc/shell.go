package clidoc

import (
	"fmt"
	"strings"
)

// shellWord tells whether a word means itself in every shell and in the small
// languages of their completion. Names and choices have to be such words.
func shellWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+@-") == ""
}

// checkWords refuses a program whose names or choices a shell would misread.
func (d description) checkWords() error {
	var err error
	check := func(where, word string) {
		if err == nil && !shellWord(word) {
			err = fmt.Errorf("describe %s: a shell would take %q for more than a word", where, word)
		}
	}
	check("the program", d.Name)
	d.root.walk(func(c command, _ []value) {
		where := strings.TrimSpace(d.Name + " " + strings.Join(c.path, " "))
		for _, name := range append(c.path[:len(c.path):len(c.path)], c.aliases...) {
			check(where, name)
		}
		for _, v := range append(c.flags[:len(c.flags):len(c.flags)], c.args...) {
			check(where, v.name)
			for _, e := range v.enum {
				check(where+" "+v.name, e)
			}
		}
	})
	return err
}

// function is a name for a shell function of the program.
func (d description) function(path ...string) string {
	return "_" + strings.NewReplacer("-", "_", ".", "_", "/", "_", "+", "_", "@", "_").
		Replace(strings.Join(append([]string{d.Name}, path...), "__"))
}

// quote makes one shell word of s, for bash, zsh and sh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// brief is the help of a flag or a command where there is room for one line.
func brief(help string) string {
	sentence, _, _ := strings.Cut(strings.Join(strings.Fields(help), " "), ". ")
	return strings.TrimSuffix(sentence, ".")
}

// names lists the commands below c with their aliases.
func (c command) names() []string {
	var out []string
	for _, child := range c.commands {
		out = append(append(out, child.name), child.aliases...)
	}
	return out
}
