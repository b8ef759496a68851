package memory

import (
	"crypto/sha256"
	"encoding/binary"
)

// ContentHash is what makes two memories of a scope and a type the same: the
// redacted summary, and where and when it was said. Each part is preceded by
// its length, so that no two different drafts run together.
func (d Draft) ContentHash() [sha256.Size]byte {
	h := sha256.New()
	part := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	part(d.Summary)
	part(d.Speaker)
	switch {
	case d.SessionID != nil:
		part("session")
		part(d.SessionID.String())
	case d.TaskID != nil:
		part("task")
		part(d.TaskID.String())
	}
	if d.OccurredAt != nil {
		part("at")
		part(d.OccurredAt.UTC().Format("2006-01-02T15:04:05.999999Z07:00"))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
