// generate-docs writes the generated files of the repository; its manual is in
// pkg/docgen.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/docgen"
)

func main() { cli.Main(docgen.Program()) }
