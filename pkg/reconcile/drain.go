package reconcile

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/guards"
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

// question is what is left to a person where nothing but requests in flight
// stops a transition, and vllm.drainThen leaves those to one.
func (r *run) question(stops []guard.Result) *record.Question {
	if r.Config.VLLM.DrainThen != config.DrainAsk || len(stops) != 1 || stops[0].Guard != guards.VLLMDrainable.Binary() || stops[0].Class != guard.Block {
		return nil
	}
	q := record.Question{About: record.AboutDrain, Unit: r.Config.VLLM.Unit, Yes: "mode request " + string(r.target) + " --cut-off"}
	var load struct {
		Running int `json:"running"`
		Waiting int `json:"waiting"`
	}
	// How many they are is in the guard's message, too.
	if json.Unmarshal(stops[0].Evidence, &load) == nil {
		q.Running, q.Waiting = load.Running, load.Waiting
	}
	return &q
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
