package audio

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// testJACK asks about a real jackd with its driver that leads nowhere. Nobody
// can ask it who sounds: a client is enough to block, and it is told by what
// it leaves in /dev/shm.
func testJACK(t *testing.T, d desk) {
	d.must(t, append([]string{"systemctl", "--user", "stop"}, servers...)...)
	serve := func() {
		d.must(t, "systemd-run", "--user", "--quiet", "--collect", "--unit=jackd", "--", "jackd", "--no-realtime", "-d", "dummy")
		d.Eventually(t, 10*time.Second, func() error {
			if r := d.tester("jack_lsp"); r.Code != 0 || !strings.Contains(r.Stdout, "system:playback_1") {
				return fmt.Errorf("%s", r)
			}
			return nil
		})
	}
	play := func() {
		d.must(t, "systemd-run", "--user", "--quiet", "--collect", "--unit=metro", "--", "jack_metro", "-b", "120")
		d.becomes(t, 10, "jack-audio", "metro of tester uses JACK, served by jackd (pid ")
	}
	send := func(signal, unit string) { d.must(t, "systemctl", "--user", "kill", "--signal="+signal, unit) }
	stop := func(unit string) { d.must(t, "systemctl", "--user", "stop", unit) }

	serve()
	d.becomes(t, 0, "quiet", "of tester runs without a client")
	play()
	stop("metro")
	d.becomes(t, 0, "quiet", "of tester runs without a client")

	// A killed client is gone, and what a killed server leaves in /dev/shm is
	// no client of the next one.
	play()
	send("KILL", "metro")
	d.becomes(t, 0, "quiet", "of tester runs without a client")
	play()
	send("STOP", "metro") // a client that notices its server's end tidies up
	send("KILL", "jackd")
	send("KILL", "metro")
	d.becomes(t, 0, "no-audio", "")
	if left := d.must(t, "ls", "/dev/shm"); !strings.Contains(left, "jack_sem.1000_default_metro\n") {
		t.Errorf("the server cleaned up, so that this test shows nothing: %q", left)
	}
	serve()
	d.becomes(t, 0, "quiet", "of tester runs without a client")
	play()
	stop("metro")
	stop("jackd")
	d.becomes(t, 0, "no-audio", "")
}
