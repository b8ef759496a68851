// Package daemon is what the long-running programs of the memory service have
// in common: their log, the connection string, and what they tell systemd.
package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/exitcode"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// Log writes lines without a time, which the journal knows better.
func Log(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// maxDSN bounds the file with the connection string.
const maxDSN = 64 << 10

// DSN is the connection string of a database that somebody else runs.
func DSN(root hostfs.Root, cfg config.MemoryDatabase) (string, error) {
	if cfg.DSN != "" {
		return cfg.DSN, nil
	}
	text, err := root.ReadLimited(cfg.DSNFile, maxDSN)
	if err != nil {
		return "", exitcode.Errorf(exitcode.Config, "read memory.database.dsnFile: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if first = strings.TrimSpace(first); first == "" {
		return "", exitcode.Errorf(exitcode.Config, "memory.database.dsnFile %s: its first line is empty; write the connection string there", cfg.DSNFile)
	}
	return first, nil
}

// Ready tells systemd that the start is over, and Stopping that the end has
// begun (sd_notify(3)). Without systemd they do nothing.
func Ready(log *slog.Logger) { tell(log, sd.SdNotifyReady) }

// Stopping tells systemd that the end has begun.
func Stopping(log *slog.Logger) { tell(log, sd.SdNotifyStopping) }

func tell(log *slog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn("systemd can't be told", "state", state, "error", err)
	}
}

// Watchdog tells systemd that we live, for as long as it wants to know and the
// context lasts (WatchdogSec= of systemd.service(5)).
func Watchdog(ctx context.Context) error {
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read what systemd says of its watchdog: %w", err)
	}
	if every == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, err := sd.SdNotify(false, sd.SdNotifyWatchdog); err != nil {
				return fmt.Errorf("tell systemd that we live: %w", err)
			}
		}
	}
}
