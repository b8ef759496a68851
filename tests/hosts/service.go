package hosts

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// service answers the method calls to one bus name, one after the other, as
// the services that it stands for do.
type service struct {
	t    testing.TB
	name string
	conn *dbus.Conn

	mu      sync.Mutex // guards the state of the service too
	hang    bool
	refuse  map[string]*dbus.Error
	changes []string
	taken   int

	// answer gives the values of a reply, or the error to send. It runs
	// with mu held. then, if any, runs after the reply was sent.
	answer func(call request) (reply []any, then func(), err *dbus.Error)
}

// request is a method call that came in.
type request struct {
	path   dbus.ObjectPath
	iface  string
	member string
	args   []any
}

// str is a string argument; a caller that sends another type gets InvalidArgs.
func (r request) str(i int) string {
	if i < len(r.args) {
		s, _ := r.args[i].(string)
		return s
	}
	return ""
}

// reading lists the members that change nothing and are not recorded.
var reading = []string{
	"Get", "GetAll", "ListSessions", "ListInhibitors", "ListUnitsByNames", "ListJobs",
	"GetUnit", "LoadUnit", "Subscribe", "Unsubscribe", "Introspect", "Ping",
}

func errorOf(name, format string, args ...any) *dbus.Error {
	return dbus.NewError(name, []any{fmt.Sprintf(format, args...)})
}

func unknownMethod(r request) *dbus.Error {
	return errorOf("org.freedesktop.DBus.Error.UnknownMethod", "Unknown method %s or interface %s.", r.member, r.iface)
}

func unknownObject(path dbus.ObjectPath) *dbus.Error {
	return errorOf("org.freedesktop.DBus.Error.UnknownObject", "Unknown object '%s'.", path)
}

// serve takes the name and begins to answer.
func (s *service) serve(t testing.TB, address, name string) {
	t.Helper()
	s.t, s.name = t, name
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatalf("connect the fake %s: %v", name, err)
	}
	s.conn = conn
	got, err := conn.RequestName(name, dbus.NameFlagDoNotQueue)
	if err != nil || got != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("own the name %s: %v, reply %d", name, err, got)
	}
	inbox := make(chan *dbus.Message, 4096)
	conn.Eavesdrop(inbox)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for msg := range inbox {
			if msg.Type == dbus.TypeMethodCall {
				s.take(msg)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
}

func (s *service) setHang(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hang = on
}

// Refuse lets the service answer every call of a member with a D-Bus error.
func (s *service) Refuse(member, errorName string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse == nil {
		s.refuse = map[string]*dbus.Error{}
	}
	s.refuse[member] = errorOf(errorName, "refused by the fixture")
}

// Changes lists the calls taken that may change something, in order: the
// member and its arguments.
func (s *service) Changes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// Taken counts the method calls that came in.
func (s *service) Taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *service) take(msg *dbus.Message) {
	var r request
	r.path, _ = msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	r.iface, _ = msg.Headers[dbus.FieldInterface].Value().(string)
	r.member, _ = msg.Headers[dbus.FieldMember].Value().(string)
	r.args = msg.Body

	s.mu.Lock()
	s.taken++
	if s.hang {
		s.mu.Unlock()
		return
	}
	if !slices.Contains(reading, r.member) {
		words := []string{r.member}
		for _, arg := range r.args {
			words = append(words, fmt.Sprint(arg))
		}
		s.changes = append(s.changes, strings.Join(words, " "))
	}
	var reply []any
	var then func()
	err := s.refuse[r.member]
	if err == nil {
		reply, then, err = s.answer(r)
	}
	s.mu.Unlock()
	if msg.Flags&dbus.FlagNoReplyExpected == 0 {
		s.reply(msg, reply, err)
	}
	if then != nil {
		then()
	}
}

func (s *service) reply(to *dbus.Message, values []any, err *dbus.Error) {
	msg := &dbus.Message{
		Type: dbus.TypeMethodReply,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(to.Serial()),
			dbus.FieldDestination: to.Headers[dbus.FieldSender],
		},
		Body: values,
	}
	if err != nil {
		msg.Type, msg.Body = dbus.TypeError, err.Body
		msg.Headers[dbus.FieldErrorName] = dbus.MakeVariant(err.Name)
	}
	if len(msg.Body) > 0 {
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(msg.Body...))
	}
	s.conn.Send(msg, nil)
}

func (s *service) emit(path dbus.ObjectPath, name string, values ...any) {
	_ = s.conn.Emit(path, name, values...) // the bus may have been killed by the test
}
