package worker

import (
	"context"
	"fmt"

	"github.com/ryjen/dubnium/pkg/memory"
	"github.com/ryjen/dubnium/pkg/memory/outbox"
)

// Register is the list of models, as a change of the model needs it.
type Register interface {
	// QueueStats says how far each model is.
	QueueStats(ctx context.Context) ([]outbox.Stats, error)
	// ActivateModel makes a model the one that retrievals use, and retires the
	// one that was, in one transaction.
	ActivateModel(ctx context.Context, id int32) error
}

// Switch makes the model of a name the one that retrievals use, while they go
// on. A model that is still being filled is refused unless early is true, since
// retrievals would not see what it lacks. A retired one is taken back at once:
// it has all that was there when it was retired, and the workers fill in the
// rest.
func Switch(ctx context.Context, register Register, name string, early bool) error {
	all, err := register.QueueStats(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Model.Name != name {
			continue
		}
		switch left := s.Waiting + s.Claimed + s.Missing; {
		case s.Model.State == outbox.Active:
			return nil
		case s.Model.State == outbox.Building && left > 0 && !early:
			return fmt.Errorf("switch to the model %s: %d memories have no vector of it yet (%d have): %w", name, left, s.Embedded, memory.ErrIncomplete)
		}
		return register.ActivateModel(ctx, s.Model.ID)
	}
	return fmt.Errorf("switch to the model %s: it is not in the register: %w", name, memory.ErrNotFound)
}
