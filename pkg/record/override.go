package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/atomicfile"
	"github.com/ryjen/dubnium/pkg/guard"
	"github.com/ryjen/dubnium/pkg/hostfs"
	"github.com/ryjen/dubnium/pkg/mode"
)

// Override is an operator's decision that soft guards don't stop a transition.
type Override struct {
	ID        string   `json:"id" doc:"the id of the override"`
	Guards    []string `json:"guards" doc:"the guards that may be passed over"`
	Reason    string   `json:"reason" doc:"why, in the words of the operator"`
	UID       int      `json:"uid" doc:"who asked"`
	LoginUID  int      `json:"login_uid" doc:"who had logged in, before any sudo; -1 where the kernel doesn't say"`
	User      string   `json:"user" doc:"the name of the latter, or of the former"`
	Requested string   `json:"requested_at" doc:"when it was asked for"`
	Used      []string `json:"used" doc:"the guards that did not pass and were passed over"`
}

// Covers tells whether the override lets a result pass: that of a soft guard
// that it names, and that has said no or could not look. Whatever an override
// says, a hard guard is never passed over.
func (o *Override) Covers(r guard.Result) bool {
	return o != nil && !r.OK && !r.Hard && (r.Class == guard.Block || r.Class == guard.Error) && slices.Contains(o.Guards, r.Guard)
}

// OverrideRequest is override.json: an override on its way to the controller,
// for one transition of this boot, within a short time. Only root can write
// where it lies, so that it is root's word.
type OverrideRequest struct {
	SchemaVersion int       `json:"schema_version"`
	Target        mode.Mode `json:"target"`
	BootID        string    `json:"boot_id"`
	Expires       string    `json:"expires"`
	Override
}

// overrideMode keeps the request root's alone, and is what it has to be found
// with.
const overrideMode = 0o600

// SetOverride leaves a request for the controller.
func (s Store) SetOverride(r OverrideRequest) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", OverrideFile, err)
	}
	return atomicfile.Write(s.Root.Path(OverrideFile), append(data, '\n'), overrideMode)
}

// TakeOverride gives the override for a transition to target, if there is one,
// and takes it away: it counts once. One for another target is left alone until
// it expires; one that expired, or is of another boot, is taken away and not
// given. The caller holds the lock.
func (s Store) TakeOverride(target mode.Mode, bootID string, now time.Time) (*Override, error) {
	r, found, err := s.override()
	if !found && err == nil {
		return nil, nil
	}
	name := s.Root.Path(OverrideFile)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take the override %s: %w; it has been removed, ask again with mode force", name, err), os.Remove(name))
	}
	expires, timeErr := time.Parse(TimeFormat, r.Expires)
	stale := timeErr != nil || !now.Before(expires) || r.BootID != bootID
	if !stale && r.Target != target {
		return nil, nil
	}
	// An override that can't be taken away would count again.
	if err := os.Remove(name); err != nil {
		return nil, fmt.Errorf("take the override: %w", err)
	}
	if stale {
		return nil, nil
	}
	r.Used = []string{}
	return &r.Override, nil
}

// OverrideWaits tells whether a request waits for the controller, so that the
// next transition could be let past guards. One that can't be read counts.
func (s Store) OverrideWaits(now time.Time) bool {
	r, found, err := s.override()
	if err != nil || !found {
		return err != nil
	}
	expires, err := time.Parse(TimeFormat, r.Expires)
	return err == nil && now.Before(expires)
}

// DropOverride takes a request back that the controller has not taken.
func (s Store) DropOverride(id string) error {
	r, found, err := s.override()
	if err != nil || !found || r.ID != id {
		return err
	}
	if err := os.Remove(s.Root.Path(OverrideFile)); err != nil && !hostfs.Absent(err) {
		return err
	}
	return nil
}

// maxOverride bounds the request, in bytes.
const maxOverride = 64 << 10

// override reads the request, and refuses one that is not its writer's alone.
func (s Store) override() (OverrideRequest, bool, error) {
	var r OverrideRequest
	f, err := os.OpenFile(s.Root.Path(OverrideFile), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if hostfs.Absent(err) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r, false, err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case info.Mode() != overrideMode: // which says that it is a regular file, too
		return r, false, fmt.Errorf("it has the mode %v, not %v", info.Mode(), os.FileMode(overrideMode))
	case int(owner) != os.Geteuid():
		return r, false, fmt.Errorf("it belongs to uid %d", owner)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxOverride))
	if err != nil {
		return r, false, err
	}
	if err := json.Unmarshal(data, &r); err != nil || r.ID == "" || len(r.Guards) == 0 || r.Reason == "" {
		return r, false, errors.Join(ErrGarbled, err)
	}
	return r, true, nil
}
