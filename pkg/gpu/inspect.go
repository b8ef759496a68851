package gpu

import (
	"slices"
	"sync"
)

// Request is what an Inspector shall look at.
type Request struct {
	// Library is the path of the NVML library; "" lets the inspector search.
	Library string
	// Only, when it is not nil, holds the PCI addresses of the GPUs that may be
	// touched. The others are asleep, and would be woken.
	Only []string
	// Alive tells whether a process exists, and its name.
	Alive func(pid int) (comm string, alive bool)
}

// Inspector asks the driver. It may hang in it, so it tells all that it learns
// to Progress at once, and its caller reads that when it has waited long
// enough.
type Inspector func(Request, *Progress)

// Progress is what an Inspector has learnt so far. It may be used by two
// goroutines.
type Progress struct {
	mu      sync.Mutex
	call    string
	driver  string
	gpus    []GPU
	reason  Reason
	message string
}

// At notes the call into the driver that comes next.
func (p *Progress) At(call string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.call = call
}

// Driver notes the driver's version.
func (p *Progress) Driver(version string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.driver = version
}

// Put notes what is known of a GPU, in place of what was known of it before.
func (p *Progress) Put(g GPU) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g.Processes = slices.Clone(g.Processes)
	if i := slices.IndexFunc(p.gpus, func(o GPU) bool { return o.Index == g.Index }); i >= 0 {
		p.gpus[i] = g
		return
	}
	p.gpus = append(p.gpus, g)
}

// End notes how it ended.
func (p *Progress) End(reason Reason, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason, p.message = reason, message
}

// Report is what is known now. Before End, that is a timeout, which names the
// call that has not returned.
func (p *Progress) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Report{
		SchemaVersion: SchemaVersion, Reason: p.reason, Message: p.message, DriverVersion: p.driver,
		GPUs: slices.Clone(p.gpus), Cards: []Card{},
	}
	if r.Reason == "" {
		r.Reason, r.Message = Timeout, p.call+" has not returned"
	}
	for i := range r.GPUs {
		if r.GPUs[i].Reason == "" {
			r.GPUs[i].Reason, r.GPUs[i].Message = r.Reason, r.Message
		}
		if r.GPUs[i].Processes == nil {
			r.GPUs[i].Processes = []Process{}
		}
	}
	if r.GPUs == nil {
		r.GPUs = []GPU{}
	}
	return r
}
