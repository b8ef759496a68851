// mode shows and changes what this machine is; its manual is in pkg/programs.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/programs"
)

func main() { cli.Main(programs.Mode()) }
