//go:build cgo

// observe-gpu prints what the driver and sysfs tell of the GPUs; its manual is
// in pkg/gpu/observegpu. It is the one program that is built with cgo.
package main

import (
	"github.com/ryjen/dubnium/pkg/cli"
	"github.com/ryjen/dubnium/pkg/gpu/nvml"
	"github.com/ryjen/dubnium/pkg/gpu/observegpu"
)

func main() { cli.Main(observegpu.Program(nvml.Inspect)) }
