package survey

import (
	"context"
	"slices"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/evidence"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
	"github.com/ryjen/dubnium/pkg/hostfs"
)

// lookAtCards fills in who holds graphics cards, without asking a driver, in
// half of what an observation may take. Without sessions and units nobody can
// be told to be in his place, and nobody is looked at.
//
// While compute.target is up all candidates are looked at, else only what was
// left behind, of which a healthy machine has nothing. Whose descriptors this
// user may not read, there the family is an error and says so.
func (s *Survey) lookAtCards(ctx context.Context, root hostfs.Root, cfg config.Config, a collect.Answer) {
	ev := &s.Evidence
	ev.GPU.Status = evidence.NotCollected
	if !ev.Sessions.Known() || !ev.Targets.Known() || !ev.LoginPath.Known() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.Observe.Std()/2)
	defer cancel()
	living := collect.Living{Sessions: ev.Sessions.Value, LoginUnits: ev.LoginPath.Value}
	scope := evidence.LeftBehind
	if !ev.Targets.Value.Compute.Down() {
		scope = evidence.Everybody
	}
	ev.GPU = timed(fromProc, func() (evidence.GPU, error) {
		g, err := cards(ctx, root, cfg, a, living, scope)
		g.Scope = scope
		return g, err
	})
	ev.Sessions.Value = collect.Unveil(ev.Sessions.Value, ev.GPU.Value.Holders)
}

// cards looks who of a scope holds a card.
func cards(ctx context.Context, root hostfs.Root, cfg config.Config, a collect.Answer, living collect.Living, scope evidence.Scope) (evidence.GPU, error) {
	var g evidence.GPU
	who, err := collect.Who(root, cfg, a)
	if err != nil {
		return g, err
	}
	found, err := collect.Within(ctx, "/sys/bus/pci/devices", func() ([]gpu.Card, error) { return gpu.Cards(root) })
	if err != nil {
		return g, err
	}
	g.Cards = len(found)
	groups := holders.Candidates(who.LoginUnits, who.Workload)
	if scope == evidence.LeftBehind {
		groups, err = collect.Within(ctx, "/sys/fs/cgroup", func() ([]string, error) { return living.LeftBehind(root) })
		if err != nil || len(groups) == 0 {
			return g, err
		}
	}
	scan, err := holders.Look(ctx, root, holders.Options{Candidates: groups, Cards: found, Who: who})
	if err != nil {
		return g, err
	}
	g.Holders = living.Holders(scan)
	for i, h := range scan.Holders {
		g.Holders[i].Elsewhere = collect.Elsewhere(cfg.Hardware, found, h)
	}
	if scope == evidence.LeftBehind {
		g.Holders = slices.DeleteFunc(g.Holders, func(h evidence.Holder) bool { return h.Outlived == "" })
		return g, collect.Gap(scan)
	}
	return g, scan.Gap()
}
