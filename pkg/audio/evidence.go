package audio

import "time"

// Bounds on what is told of a snapshot, so that a document stays short whatever
// somebody starts.
const (
	maxFindings = 32
	maxDevices  = 32
	maxTold     = 16 // servers
)

// Evidence is a snapshot and what it means, in the words of documents.
type Evidence struct {
	Cards      []string `json:"cards"`
	Substreams int      `json:"substreams"`
	// PCMs are the substreams that are open.
	PCMs     []PCM          `json:"open_pcms"`
	Servers  []ServerFacts  `json:"servers"`
	Findings []Finding      `json:"findings"`
	LeftOut  map[string]int `json:"left_out,omitempty"`
	TookMS   float64        `json:"took_ms"`
}

// PCM is an open substream.
type PCM struct {
	Card      int       `json:"card"`
	Device    int       `json:"device"`
	Name      string    `json:"name,omitempty"`
	Direction Direction `json:"direction"`
	State     State     `json:"state"`
	Owner     string    `json:"owner,omitempty"`
	OwnerPID  int       `json:"owner_pid,omitempty"`
	RateHz    int       `json:"rate_hz,omitempty"`
	Channels  int       `json:"channels,omitempty"`
}

// ServerFacts is an audio server that runs.
type ServerFacts struct {
	Name     string  `json:"name"`
	PID      int     `json:"pid"`
	UID      int     `json:"uid"`
	User     string  `json:"user,omitempty"`
	Answered bool    `json:"answered"`
	Streams  int     `json:"streams"`
	Clients  int     `json:"clients"`
	TookMS   float64 `json:"took_ms"`
}

// Tell puts a snapshot and its findings into words.
func Tell(s Snapshot, found []Finding) Evidence {
	ev := Evidence{
		Cards: []string{}, PCMs: []PCM{}, Servers: []ServerFacts{}, Findings: found,
		Substreams: s.Sound.Substreams, TookMS: milliseconds(s.Took),
	}
	for _, c := range s.Sound.Cards {
		name := c.Name
		if name == "" {
			name = c.ID
		}
		ev.Cards = append(ev.Cards, name)
	}
	for _, one := range s.Sound.Open {
		ev.PCMs = append(ev.PCMs, PCM{
			Card: one.Card.Index, Device: one.Device, Name: one.Name, Direction: one.Direction, State: one.State,
			Owner: one.Owner.Comm, OwnerPID: one.Owner.PID, RateHz: one.RateHz, Channels: one.Channels,
		})
	}
	for _, server := range s.Servers {
		facts := ServerFacts{
			Name: server.Comm, PID: server.PID, UID: server.UID, User: server.User,
			Answered: server.Graph != nil || server.Clients != nil, Clients: len(server.Clients), TookMS: milliseconds(server.Took),
		}
		if server.Graph != nil {
			facts.Streams, facts.Clients = len(server.Graph.Streams), len(server.Graph.Clients)
		}
		ev.Servers = append(ev.Servers, facts)
	}
	ev.PCMs = shorten(&ev, "open_pcms", ev.PCMs, maxDevices)
	ev.Servers = shorten(&ev, "servers", ev.Servers, maxTold)
	ev.Findings = shorten(&ev, "findings", ev.Findings, maxFindings)
	return ev
}

// shorten cuts a list and counts what was left out.
func shorten[T any](ev *Evidence, name string, list []T, limit int) []T {
	if len(list) <= limit {
		return list
	}
	if ev.LeftOut == nil {
		ev.LeftOut = map[string]int{}
	}
	ev.LeftOut[name] = len(list) - limit
	return list[:limit]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
