// memory-api serves memories to AI agents; its manual is in pkg/memory/apid.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/memory/apid"
)

func main() { cli.Main(apid.Program()) }
