// Package docs reads the commands in the documentation, so that tests run them.
//
// A fence of shell commands is run as a script that ends at the first command
// that fails. Its info string says where: nothing for the booted machine of
// this package's test, run=NAME for the test of packages that follows the block
// itself, needs=THING for what no test here has. In a console fence the lines
// that begin with a dollar are commands, and the others what they print.
package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ryjen/dubnium/tests/machine"
)

// Block is a block of code in a page.
type Block struct {
	Page string // from the root of the repository
	Line int    // of its first line of text
	Lang string // the first word of its info string; "indented" where it has no fence
	Run  string // the test that follows it, when it is not ours
	Need string // what it needs that no test has
	Text string
}

func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// Needs are the things that a block may need: what no machine under test has.
var Needs = []string{"hardware", "nixos", "fedora", "source-tree", "internet"}

// Runs are the tests that follow blocks themselves.
var Runs = []string{"deb", "tarball"}

// Read gives the blocks of all pages that are written by hand, in order.
func Read(root string) ([]Block, error) {
	pages := []string{filepath.Join(root, "README.md")}
	for _, pattern := range []string{"docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		pages = append(pages, found...)
	}
	var all []Block
	for _, path := range pages {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		blocks, err := parse(name, string(data))
		if err != nil {
			return nil, err
		}
		all = append(all, blocks...)
	}
	return all, nil
}

// parse finds the blocks of a page. Text in a list is indented too: a block
// without a fence begins after an empty line, and not below a list item.
func parse(page, text string) ([]Block, error) {
	var all []Block
	var open *Block
	list, blank := false, true
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		indented := strings.HasPrefix(line, "    ")
		switch {
		case open != nil && open.Lang != "indented":
			if fence {
				all = append(all, *open)
				open = nil
			} else {
				open.Text += line + "\n"
			}
		case open != nil && indented:
			open.Text += line[4:] + "\n"
		case open != nil && line != "":
			all = append(all, *open)
			open = nil
		case fence:
			b, err := fenced(info)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", page, i+1, err)
			}
			b.Page, b.Line = page, i+2
			open = &b
		case indented && blank && !list:
			open = &Block{Page: page, Line: i + 1, Lang: "indented", Text: line[4:] + "\n"}
		}
		if line != "" && !indented {
			list = strings.HasPrefix(line, "- ") || strings.HasPrefix(strings.TrimLeft(line, "0123456789"), ". ")
		}
		blank = line == ""
	}
	if open != nil && open.Lang != "indented" {
		return nil, fmt.Errorf("%s:%d: a fence that is never closed", page, open.Line-1)
	}
	if open != nil {
		all = append(all, *open)
	}
	return all, nil
}

// fenced reads an info string.
func fenced(info string) (Block, error) {
	words := strings.Fields(info)
	if len(words) == 0 {
		return Block{Lang: "text"}, nil
	}
	b := Block{Lang: words[0]}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case key == "needs" && slices.Contains(Needs, value):
			b.Need = value
		case key == "run" && slices.Contains(Runs, value):
			b.Run = value
		default:
			return Block{}, fmt.Errorf("what is %q: write needs=%s or run=%s", w, strings.Join(Needs, "|"), strings.Join(Runs, "|"))
		}
	}
	return b, nil
}

// other are the languages that hold no commands.
var other = []string{"text", "toml", "yaml", "nix", "json", "sql"}

// Script is what to run of a block, "" where there is nothing. An error says
// that nobody knows whether the block holds commands.
func (b Block) Script() (string, error) {
	switch {
	case b.Lang == "sh":
		return b.Text, nil
	case b.Lang == "console":
		var script strings.Builder
		for line := range strings.Lines(b.Text) {
			if command, found := strings.CutPrefix(line, "$ "); found {
				script.WriteString(command)
			}
		}
		return script.String(), nil
	case b.Lang == "indented" && strings.HasPrefix(b.Text, "["): // of a configuration
		return "", nil
	case b.Lang == "indented":
		return b.Text, nil
	case slices.Contains(other, b.Lang):
		return "", nil
	}
	return "", fmt.Errorf("%s: a fence of %q: is it sh, console, or one of %v?", b, b.Lang, other)
}

// Command runs a script as root, as somebody called tester would with sudo.
func Command(script, dir string) machine.Command {
	return machine.Command{
		Args: []string{"bash", "-c", "cd " + dir + " && set -e -o pipefail\n" + script},
		Env:  []string{"USER=tester", "DEBIAN_FRONTEND=noninteractive", "NO_COLOR=1"},
	}
}

// Files stand in for what the machine lacks: somebody who is root needs no
// sudo, and nobody is there to edit. What the pages have people install is this
// host's.
func Files() ([]machine.File, error) {
	all := []machine.File{
		{Path: "/usr/local/bin/sudo", Content: "#!/bin/sh\nexec \"$@\"\n", Mode: 0o755},
		{Path: "/usr/local/bin/sudoedit", Content: "#!/bin/sh\ntest -e \"$1\"\n", Mode: 0o755},
	}
	for _, name := range []string{"mksquashfs", "busybox"} {
		files, err := program(name)
		if err != nil {
			return nil, fmt.Errorf("take %s from this host, where scripts/setup test installs it: %w", name, err)
		}
		all = append(all, files...)
	}
	return all, nil
}

// program is a program of this host with the libraries that it was built for,
// which the machine may have in other versions.
func program(name string) ([]machine.File, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	const dir = "/usr/local/lib/host/"
	listed, _ := exec.Command("ldd", path).Output() // it fails for one that is static
	var all []machine.File
	loader := ""
	for _, word := range strings.Fields(string(listed)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		if strings.HasPrefix(filepath.Base(word), "ld-") {
			loader = dir + filepath.Base(word)
		}
		if all, err = copied(all, word, dir+filepath.Base(word)); err != nil {
			return nil, err
		}
	}
	if loader == "" {
		return copied(all, path, "/usr/bin/"+name)
	}
	all = append(all, machine.File{
		Path: "/usr/bin/" + name, Mode: 0o755,
		Content: fmt.Sprintf("#!/bin/sh\nexec %s --library-path %s %s%s \"$@\"\n", loader, dir, dir, name),
	})
	return copied(all, path, dir+name)
}

// copied adds a file of this host.
func copied(all []machine.File, from, to string) ([]machine.File, error) {
	data, err := os.ReadFile(from)
	return append(all, machine.File{Path: to, Content: string(data), Mode: 0o755}), err
}
