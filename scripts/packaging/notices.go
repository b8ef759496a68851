package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile is the name of a file that a licence asks to be passed on.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)(\..*|-.*)?$`)

// words tells where the table of word vectors in the programs comes from.
const words = "pkg/memory/embed/words.NOTICE"

// notices prints the licences of everything that is in the programs and not
// ours: Go's own library, the modules, the word vectors.
func notices(out io.Writer, programs []string) error {
	modules, goVersion, err := linked(programs)
	if err != nil {
		return err
	}
	goRoot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("ask go env where Go's licence is: %w", err)
	}
	if err := section(out, goVersion, filepath.Join(strings.TrimSpace(string(goRoot)), "LICENSE")); err != nil {
		return err
	}
	dirs, err := folders(modules)
	if err != nil {
		return err
	}
	for i, m := range modules {
		files, err := licences(dirs[i])
		if err != nil {
			return fmt.Errorf("%s %s: %w", m.path, m.version, err)
		}
		if err := section(out, m.path+" "+m.version, files...); err != nil {
			return err
		}
	}
	return section(out, "the table of word vectors", words)
}

// folders asks the go command where the modules are, in their order.
func folders(modules []module) ([]string, error) {
	if len(modules) == 0 {
		return nil, nil
	}
	args := []string{"list", "-m", "-f", "{{.Dir}}"}
	for _, m := range modules {
		args = append(args, m.path)
	}
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("ask go list where %d modules are: %w", len(modules), err)
	}
	dirs := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(dirs) != len(modules) {
		return nil, fmt.Errorf("go list named %d folders for %d modules: run go mod download first", len(dirs), len(modules))
	}
	return dirs, nil
}

// licences are the files to pass on of a module; one without any is an error.
func licences(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && licenceFile.MatchString(e.Name()) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no licence in %s: may it be passed on?", dir)
	}
	slices.Sort(files)
	return files, nil
}

func section(out io.Writer, title string, files ...string) error {
	fmt.Fprintf(out, "==== %s\n\n", title)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n\n", strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))); err != nil {
			return err
		}
	}
	return nil
}
