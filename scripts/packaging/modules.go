package main

import (
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// module is a module that programs hold.
type module struct {
	path, version string
	sum           string   // of the go command: h1: and a hash of the tree
	programs      []string // names, sorted
}

// linked reads what the linker wrote into the programs: the modules of others,
// sorted by path, and the release of Go. A program of ours that was built from
// something else, as by a replace directive, is an error: the list would lie.
func linked(programs []string) (modules []module, goVersion string, err error) {
	known := map[string]*module{}
	for _, file := range programs {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return nil, "", fmt.Errorf("read the modules of %s: %w: was it built by go build?", file, err)
		}
		if goVersion != "" && goVersion != info.GoVersion {
			return nil, "", fmt.Errorf("%s was built by %s, others by %s: run make build with one of them", file, info.GoVersion, goVersion)
		}
		goVersion = info.GoVersion
		for _, m := range info.Deps {
			if m.Replace != nil {
				return nil, "", fmt.Errorf("%s holds %s in the place of %s: build a release without replace directives", file, m.Replace.Path, m.Path)
			}
			if err := add(known, m, filepath.Base(file)); err != nil {
				return nil, "", err
			}
		}
	}
	for _, m := range known {
		slices.Sort(m.programs)
		modules = append(modules, *m)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return modules, goVersion, nil
}

func add(known map[string]*module, m *debug.Module, program string) error {
	have := known[m.Path]
	if have == nil {
		have = &module{path: m.Path, version: m.Version, sum: m.Sum}
		known[m.Path] = have
	}
	if have.version != m.Version {
		return fmt.Errorf("%s holds %s %s, another program %s: run make build, so that all are of one tree", program, m.Path, m.Version, have.version)
	}
	have.programs = append(have.programs, program)
	return nil
}
