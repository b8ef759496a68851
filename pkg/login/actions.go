package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/godbus/dbus/v5"
	"github.com/ryjen/dubnium/pkg/bus"
)

// Caller sends calls over the system bus; *bus.Conn is one.
type Caller interface {
	Batch(ctx context.Context, calls ...*bus.Call) error
}

// TerminateSession asks logind to end a session. That it answered says nothing
// of the session's processes: a session that is already closing takes the
// call and stays, so look again. A session that is gone is
// [bus.IsUnknownObject].
func TerminateSession(ctx context.Context, conn Caller, id string) error {
	_, err := managerCall(ctx, conn, "TerminateSession", id)
	if err != nil {
		return fmt.Errorf("terminate session %s: %w", id, err)
	}
	return nil
}

// Inhibit takes a lock against what ("shutdown:sleep"), held until the returned
// Closer is closed or the process ends. who and why are shown to people; mode
// is "block" or "delay".
func Inhibit(ctx context.Context, conn Caller, what, who, why, mode string) (io.Closer, error) {
	body, err := managerCall(ctx, conn, "Inhibit", what, who, why, mode)
	if err == nil && len(body) == 1 {
		if fd, ok := body[0].(dbus.UnixFD); ok {
			return os.NewFile(uintptr(fd), "inhibitor"), nil
		}
	}
	if err == nil {
		err = errors.New("the answer holds no file descriptor: the bus passes none")
	}
	return nil, fmt.Errorf("take an inhibitor lock (%s) against %s: %w", mode, what, err)
}

func managerCall(ctx context.Context, conn Caller, member string, args ...any) ([]any, error) {
	call := &bus.Call{Dest: dest, Path: managerPath, Method: managerIface + "." + member, Args: args}
	if err := conn.Batch(ctx, call); err != nil {
		return nil, err
	}
	return call.Body, call.Err
}
