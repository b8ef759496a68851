// Command generate-units renders Dubnium's systemd units; pkg/unitgen holds it
// and its manual.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/unitgen"
)

func main() { cli.Main(unitgen.Program()) }
