// embed-worker embeds memories; its manual is in pkg/memory/workerd.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/memory/workerd"
)

func main() { cli.Main(workerd.Program()) }
