package unitctl

import (
	"context"
	"fmt"

	"github.com/ryjen/dubnium/pkg/bus"
)

// Enqueue asks for a unit to be started and does not wait for it, as whoever
// is part of the boot has to: waiting would be waiting for itself.
func (m *Manager) Enqueue(ctx context.Context, unit, mode string) error {
	if _, err := m.systemd.StartUnitContext(ctx, unit, mode, nil); err != nil {
		return fmt.Errorf("ask for %s to be started: %w", unit, err)
	}
	return nil
}

// EnqueueStop asks for a unit to be stopped and does not wait for it. A unit
// that is not loaded needs no stopping.
func (m *Manager) EnqueueStop(ctx context.Context, unit, mode string) error {
	if _, err := m.systemd.StopUnitContext(ctx, unit, mode, nil); err != nil && !bus.IsUnknownObject(err) {
		return fmt.Errorf("ask for %s to be stopped: %w", unit, err)
	}
	return nil
}
