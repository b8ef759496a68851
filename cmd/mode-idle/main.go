// mode-idle asks for compute when nobody uses the machine; its manual is in pkg/programs.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/programs"
)

func main() { cli.Main(programs.ModeIdle()) }
