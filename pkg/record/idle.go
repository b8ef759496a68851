package record

// IdleFile is where mode-idle.service tells what it waits for.
const IdleFile = RunDir + "/idle.json"

// Idle is idle.json.
type Idle struct {
	SchemaVersion int    `json:"schema_version"`
	Timestamp     string `json:"timestamp"` // of the look
	NextLook      string `json:"next_look"` // at the latest
	Reason        string `json:"reason"`
	Message       string `json:"message"`
	AsksAt        string `json:"asks_at,omitempty"` // if nothing changes; absent where that can't be said
	Tries         int    `json:"tries"`             // in a row that something stopped
	Blocked       string `json:"blocked_by,omitempty"`
}

// SetIdle records what mode-idle.service waits for.
func (s Store) SetIdle(i Idle) error { return s.writeJSON(IdleFile, i) }

// Idle gives it.
func (s Store) Idle() (Idle, bool, error) { return read[Idle](s, IdleFile) }
