package guards

import (
	"slices"

	"github.com/ryjen/dubnium/pkg/collect"
	"github.com/ryjen/dubnium/pkg/config"
	"github.com/ryjen/dubnium/pkg/gpu"
	"github.com/ryjen/dubnium/pkg/gpu/holders"
)

// elsewhere parts the holders into those that may hold a GPU of the
// configuration, and those that hold none.
func elsewhere(cfg config.Hardware, cards []gpu.Card, all []holders.Holder) (here, others []holders.Holder) {
	for _, h := range all {
		if collect.Elsewhere(cfg, cards, h) {
			others = append(others, h)
		} else {
			here = append(here, h)
		}
	}
	// Process 1 and logind hold what a session does, and come first by pid.
	slices.SortStableFunc(others, func(a, b holders.Holder) int { return brokers(a) - brokers(b) })
	return here, others
}

func brokers(h holders.Holder) int {
	if h.Class == holders.Broker {
		return 1
	}
	return 0
}
