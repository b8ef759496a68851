package mcp

import (
	"testing"

	"github.com/ryjen/dubnium/pkg/cli"
)

func TestConventions(t *testing.T) {
	if err := cli.Check(Program()); err != nil {
		t.Error(err)
	}
}
