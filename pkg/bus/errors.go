package bus

import (
	"errors"
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"
)

// Error is a refusal that came over the bus, from the peer or from the bus on
// its behalf.
type Error struct {
	Dest, Method string
	Path         dbus.ObjectPath
	Name         string // the D-Bus error name, by which callers branch
	Message      string // for people
}

func newError(call *Call, name string, body []any) *Error {
	e := &Error{Dest: call.Dest, Method: call.Method, Path: call.Path, Name: name}
	if len(body) > 0 {
		e.Message, _ = body[0].(string)
	}
	return e
}

// Error implements error.
func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("call %s on %s of %s: %s", e.Method, e.Path, e.Dest, e.Name)
	}
	return fmt.Sprintf("call %s on %s of %s: %s (%s)", e.Method, e.Path, e.Dest, e.Message, e.Name)
}

// ErrorName is the D-Bus error name in err, of this package's errors and of
// godbus's; empty when err did not come over the bus.
func ErrorName(err error) string {
	var ours *Error
	if errors.As(err, &ours) {
		return ours.Name
	}
	var value dbus.Error
	if errors.As(err, &value) {
		return value.Name
	}
	var pointer *dbus.Error
	if errors.As(err, &pointer) {
		return pointer.Name
	}
	return ""
}

// IsAccessDenied tells whether the bus's policy or polkit refused.
func IsAccessDenied(err error) bool {
	if errors.Is(err, errRejected) {
		return true
	}
	return slices.Contains([]string{
		"org.freedesktop.DBus.Error.AccessDenied",
		"org.freedesktop.DBus.Error.AuthFailed",
		"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
		"System.Error.EPERM",
		"System.Error.EACCES",
	}, ErrorName(err))
}

// IsUnknownObject tells whether the thing asked about is not there, any more
// or at all: a session that ended, a unit that is not loaded.
func IsUnknownObject(err error) bool {
	return slices.Contains([]string{
		"org.freedesktop.DBus.Error.UnknownObject",
		"org.freedesktop.DBus.Error.NoSuchObject",
		"org.freedesktop.login1.NoSuchSession",
		"org.freedesktop.systemd1.NoSuchUnit",
		"System.Error.ENXIO",
	}, ErrorName(err))
}

// IsUnknownMethod tells whether the peer is too old or too new for the call.
func IsUnknownMethod(err error) bool {
	return slices.Contains([]string{
		"org.freedesktop.DBus.Error.UnknownMethod",
		"org.freedesktop.DBus.Error.UnknownInterface",
		"org.freedesktop.DBus.Error.UnknownProperty",
	}, ErrorName(err))
}
