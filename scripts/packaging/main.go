// packaging writes what scripts/package and scripts/release need beside the
// files that make install would install:
//
//	packaging contents FORMAT ROOT DIR  nfpm's list of the files below ROOT, and the maintainer scripts in DIR
//	packaging changelog VERSION   docs/changelog.md in Debian's form
//	packaging notices PROGRAM...  the licences of what the programs hold
//	packaging sbom VERSION PROGRAM...  their modules, as CycloneDX JSON
//
// It runs in the root of the repository, and takes the time from
// SOURCE_DATE_EPOCH, so that the same commit always gives the same bytes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) < 2 {
		return errors.New("name what to write and of what: contents, changelog, notices, sbom")
	}
	verb, args := args[0], args[1:]
	switch {
	case verb == "contents" && len(args) == 3:
		return contents(out, args[0], args[1], args[2])
	case verb == "changelog" && len(args) == 1:
		return changelog(out, args[0])
	case verb == "notices":
		return notices(out, args)
	case verb == "sbom" && len(args) > 1:
		return sbom(out, args[0], args[1:])
	}
	return fmt.Errorf("no verb %s with %d arguments: contents, changelog, notices or sbom", verb, len(args))
}

// epoch is the time that everything in a package has.
func epoch() (time.Time, error) {
	const name = "SOURCE_DATE_EPOCH"
	s, err := strconv.ParseInt(os.Getenv(name), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the time from %s: %w", name, err)
	}
	return time.Unix(s, 0).UTC(), nil
}
