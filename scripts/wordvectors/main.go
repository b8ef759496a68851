// Wordvectors makes the built-in embedder's table; see the script train beside it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "wordvectors:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "corpus":
		return corpus(args[1], os.Stdout)
	case len(args) == 3 && args[0] == "pack":
		return pack(args[1], args[2], os.Stdout)
	}
	return errors.New("usage: wordvectors corpus ROOT >CORPUS, or wordvectors pack VECTORS CORPUS >TABLE")
}

// corpus writes the text to train on, of the packages unpacked below root.
func corpus(root string, out io.Writer) error {
	var t text
	if err := wordnet(filepath.Join(root, "usr/share/wordnet"), &t); err != nil {
		return fmt.Errorf("read WordNet: %w", err)
	}
	p := prose{&t, map[string]bool{}}
	for _, folder := range []string{"postgresql-doc-15/html", "sqlite3"} {
		if err := p.htmlFolder(filepath.Join(root, "usr/share/doc", folder)); err != nil {
			return fmt.Errorf("read the manual %s: %w", folder, err)
		}
	}
	if err := p.dictionary(filepath.Join(root, "usr/share/dictd/jargon.dict.dz")); err != nil {
		return fmt.Errorf("read the Jargon File: %w", err)
	}
	return t.write(out)
}
