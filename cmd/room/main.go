// room runs disposable sandboxes; its manual is in pkg/programs.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/programs"
)

func main() { cli.Main(programs.Room()) }
