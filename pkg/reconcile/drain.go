package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/record"
	"github.com/ryjen/dubnium/pkg/vllm"
)

// Drainer is a host that can tell what its guards wait for.
type Drainer interface {
	// Drain tells, until ctx ends, what vLLM still has to do, as often as is
	// worth telling.
	Drain(ctx context.Context, tell func(record.Drain))
}

// whileDraining runs guards, and meanwhile tells watchers of the marker what is
// being waited for.
func (r *run) whileDraining(ctx context.Context, names []string, guards func() []guard.Result) []guard.Result {
	drainer, can := r.Host.(Drainer)
	if !can || !slices.Contains(names, "vllm_drainable") {
		return guards()
	}
	ended := make(chan []guard.Result, 1)
	go func() { ended <- guards() }()
	ctx, cancel := context.WithCancel(ctx)
	told, over := make(chan record.Drain), make(chan struct{})
	go func() {
		defer close(over)
		drainer.Drain(ctx, func(d record.Drain) {
			select {
			case told <- d:
			case <-ctx.Done():
			}
		})
	}()
	defer func() {
		cancel()
		<-over
		r.marker.Drain = nil
	}()
	for {
		select {
		case results := <-ended:
			return results
		case d := <-told:
			r.marker.Drain = &d
			r.save()
		}
	}
}

// drainEvery is how often people are told what is being waited for.
const drainEvery = time.Second

// Drain asks vLLM how many requests it has. The guard is what decides; this only
// tells, and says nothing where it can't see.
func (m *Machine) Drain(ctx context.Context, tell func(record.Drain)) {
	cfg := m.Config.VLLM
	end := time.Now().Add(cfg.DrainTimeout.Std())
	for pause(ctx, drainEvery) == nil {
		look, cancel := context.WithTimeout(ctx, m.Config.Timeouts.Observe.Std())
		load, err := vllm.Metrics(look, vllm.Addr(cfg.Host, cfg.Port))
		cancel()
		if err == nil && !load.Idle() {
			tell(record.Drain{Unit: cfg.Unit, Running: load.Running, Waiting: load.Waiting, LeftMS: max(0, time.Until(end).Milliseconds())})
		}
	}
}
