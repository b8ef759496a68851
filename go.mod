module github.com/ryjen/dubnium

go 1.26

require (
	github.com/NVIDIA/go-nvml v0.13.3-1
	github.com/alecthomas/kong v1.17.0
	github.com/coreos/go-systemd/v22 v22.7.0
	github.com/godbus/dbus/v5 v5.2.4
	github.com/google/go-cmp v0.7.0
	github.com/pelletier/go-toml/v2 v2.2.4
	github.com/rogpeppe/go-internal v1.16.0
	golang.org/x/sys v0.41.0
)

require golang.org/x/tools v0.26.0 // indirect
