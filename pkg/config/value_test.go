package config

import (
	"testing"
	"time"

	"github.com/ryjen/dubnium/pkg/mode"
)

func TestSize(t *testing.T) {
	tests := []struct {
		text  string
		want  Size
		print string // "" when the text is not a size
	}{
		{"0", 0, "0"},
		{"1", 1, "1"},
		{"1023", 1023, "1023"},
		{"1024", KiB, "1KiB"},
		{"1024KiB", MiB, "1MiB"},
		{"1536MiB", 3 * GiB / 2, "1536MiB"},
		{"4 GiB", 4 * GiB, "4GiB"},
		{"2TiB", 2 * TiB, "2TiB"},
		{"2048TiB", 2048 * TiB, "2048TiB"},
		{"9223372036854775807", MaxSize, "9223372036854775807"},
		{text: "9223372036854775808"},
		{text: "8388608TiB"},
		{text: "99999999999999999999"},
		{text: ""},
		{text: "GiB"},
		{text: "4G"},
		{text: "4GB"},
		{text: "4gib"},
		{text: "-1"},
		{text: "+1"},
		{text: "1.5GiB"},
		{text: " 1"},
		{text: "1  GiB"},
		{text: "1KiBMiB"},
	}
	for _, tt := range tests {
		got, err := ParseSize(tt.text)
		if (err == nil) != (tt.print != "") || got != tt.want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", tt.text, got, err, tt.want)
			continue
		}
		if err == nil && got.String() != tt.print {
			t.Errorf("%q prints as %q, want %q", tt.text, got, tt.print)
		}
	}
}

func TestSizeMiBRoundsUp(t *testing.T) {
	for size, want := range map[Size]uint64{0: 0, 1: 1, MiB: 1, MiB + 1: 2, 4 * GiB: 4096} {
		if got := size.MiB(); got != want {
			t.Errorf("%d bytes are %d MiB, want %d", size, got, want)
		}
	}
}

func TestDurationString(t *testing.T) {
	tests := map[time.Duration]string{
		0:                              "0s",
		500 * time.Millisecond:         "500ms",
		30 * time.Second:               "30s",
		time.Minute:                    "1m",
		10 * time.Minute:               "10m",
		90 * time.Second:               "1m30s",
		time.Hour:                      "1h",
		time.Hour + time.Second:        "1h0m1s",
		time.Hour + 10*time.Minute:     "1h10m",
		20*time.Hour + 10*time.Second:  "20h0m10s",
		24 * time.Hour:                 "24h",
		1500*time.Microsecond + 0:      "1.5ms",
		100*time.Minute + time.Second:  "1h40m1s",
		110*time.Hour + 20*time.Minute: "110h20m",
	}
	for d, want := range tests {
		got := Duration(d).String()
		if got != want {
			t.Errorf("%v prints as %q, want %q", d, got, want)
		}
		if back, err := ParseDuration(got); err != nil || back.Std() != d {
			t.Errorf("%q reads as %v, %v; want %v", got, back, err, d)
		}
	}
}

func TestPlacement(t *testing.T) {
	tests := []struct {
		placement Placement
		local     bool
		where     string
	}{
		{Local, true, ""},
		{"external-mac-mini", false, "mac-mini"},
	}
	for _, tt := range tests {
		if got := tt.placement.Local(); got != tt.local {
			t.Errorf("%q: local is %v", tt.placement, got)
		}
		if got := tt.placement.Where(); got != tt.where {
			t.Errorf("%q is at %q, want %q", tt.placement, got, tt.where)
		}
	}
}

func TestServedName(t *testing.T) {
	tests := []struct {
		vllm VLLM
		want string
	}{
		{VLLM{}, ""},
		{VLLM{Model: ModelsDirectory + "/qwen"}, "qwen"},
		{VLLM{Model: ModelsDirectory + "/qwen", ServedModelName: "coder"}, "coder"},
	}
	for _, tt := range tests {
		if got := tt.vllm.ServedName(); got != tt.want {
			t.Errorf("%+v is served as %q, want %q", tt.vllm, got, tt.want)
		}
	}
}

func TestHeadroomOfEachMode(t *testing.T) {
	memory := GuardMemory{Desktop: 1, StudioLocal: 2, Compute: 3}
	for i, m := range mode.All() {
		if got := memory.For(m); got != Size(i+1) {
			t.Errorf("%s needs %d, want %d", m, got, i+1)
		}
	}
}
