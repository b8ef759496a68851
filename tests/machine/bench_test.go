package machine

import "testing"

// BenchmarkBoot is a machine from nothing to a desktop and back to nothing.
func BenchmarkBoot(b *testing.B) {
	for b.Loop() {
		m, err := Boot(b.Context(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	m := Start(b, Options{NoDesktop: true})
	for name, argv := range map[string][]string{
		"true":        {"true"},
		"systemd-run": {"systemd-run", "--quiet", "--pipe", "--wait", "true"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m.MustRun(b, argv...)
			}
		})
	}
	b.Run("as a user", func(b *testing.B) {
		for b.Loop() {
			if r := m.RunAs(b.Context(), "guest", "true"); r.Code != 0 {
				b.Fatal(r)
			}
		}
	})
}
