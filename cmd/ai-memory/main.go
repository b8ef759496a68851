// ai-memory stores, finds, reviews and audits memories for AI agents; its
// manual is in pkg/memory/aimemory.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/memory/aimemory"
)

func main() { cli.Main(aimemory.Program()) }
