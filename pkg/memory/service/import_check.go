package service

import (
	"errors"
	"io"
	"math"
	"time"

	"github.com/ryjen/dubnium/pkg/memory"
)

// checkArchived checks what an export has and a draft has not.
func checkArchived(v memory.Memory) error {
	list := memory.MemoryList{Scope: v.Scope, Status: v.Status, Limit: 1}
	var c cleaner
	c.label("status_reason", v.StatusReason)
	switch {
	case count("version", v.Version) != nil:
		return count("version", v.Version)
	case v.Ordinal < 0 || (v.Ordinal == 0) != (v.SessionID == nil && v.TaskID == nil):
		return memory.FieldErrorf("ordinal", "out-of-range", "is no place in the session or task, or there is none")
	case len([]rune(v.StatusReason)) > memory.MaxLabel:
		return memory.FieldErrorf("status_reason", "too-long", "is longer than %d characters", memory.MaxLabel)
	case v.Status == "":
		return memory.FieldErrorf("status", "required", "is missing")
	}
	for _, r := range v.Redactions {
		if len(r.Rule) > memory.MaxSensitivity || len(r.Field) > memory.MaxName || r.Offset < 0 || r.Length < 0 {
			return memory.FieldErrorf("redactions", "malformed", "has one that none of ours can be")
		}
	}
	return errors.Join(list.Check(), c.err(), year("created_at", &v.CreatedAt), year("updated_at", &v.UpdatedAt), year("ttl", v.TTL))
}

// year refuses an instant that Postgres, RFC 3339 or a person can't read; nil
// is none.
func year(field string, at *time.Time) error {
	if at != nil && (at.Before(memory.Earliest) || at.After(memory.Latest)) {
		return memory.FieldErrorf(field, "out-of-range", "is not a year from 1 to 9999")
	}
	return nil
}

// count refuses a number that does not count from 1, or is longer than its
// column.
func count(field string, n int) error {
	if n < 1 || n > math.MaxInt32 {
		return memory.FieldErrorf(field, "out-of-range", "is not between 1 and %d", math.MaxInt32)
	}
	return nil
}

// below writes path before the fields of what is wrong.
func below(path string, err error) error {
	var invalid memory.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	named := make(memory.Invalid, len(invalid))
	for n, f := range invalid {
		f.Field = path + f.Field
		named[n] = f
	}
	return named
}

// sizeOf is the size of a content, which is read against its digest.
func (i *importer) sizeOf(sha256 string) (int64, error) {
	content, err := i.contents.Open(sha256)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, content)
	return n, errors.Join(err, content.Close())
}
