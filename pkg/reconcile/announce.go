package reconcile

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/mode"
)

// announce writes to every terminal that logind knows a session on, as
// systemd's own wall messages do, and gives people the configured grace.
func (m *Machine) announce(ctx context.Context, target mode.Mode) (string, error) {
	grace := m.Config.Desktop.AnnounceGrace.Std()
	text := fmt.Sprintf("\r\nThis machine goes to %s mode in %v: graphical sessions will end. Save your work.\r\n", target, grace)
	a := collect.Ask(ctx, m.Root, nil)
	if a.LoginErr != nil {
		return "", a.LoginErr
	}
	reached := 0
	for _, s := range a.Login.Sessions {
		if s.TTY != "" && !strings.Contains(s.TTY, "..") && m.write(path.Join("/dev", s.TTY), text) == nil {
			reached++
		}
	}
	detail := fmt.Sprintf("%d terminals told", reached)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return detail, nil
	case <-ctx.Done():
		return detail, ctx.Err()
	}
}

// write writes to a terminal without ever waiting for it.
func (m *Machine) write(tty, text string) error {
	f, err := os.OpenFile(m.Root.Path(tty), os.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return unix.ENOTTY
	}
	_, err = unix.Write(int(f.Fd()), []byte(text))
	return err
}
