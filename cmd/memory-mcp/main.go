// memory-mcp offers the memory service to coding agents, as tools of the Model
// Context Protocol; its manual is in pkg/memory/mcp.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/memory/mcp"
)

func main() { cli.Main(mcp.Program()) }
