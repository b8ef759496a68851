// dubnium-generator makes the units fit the configuration when systemd reads
// them; its manual is in pkg/unitgen.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/unitgen"
)

func main() { cli.Main(unitgen.Generator()) }
