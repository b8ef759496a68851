package postgres

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Tap stands between a store and its server, and notes what the store sends.
type Tap struct {
	// DSN is how the service connects through it.
	DSN string

	t  testing.TB
	to string

	mu   sync.Mutex
	said []string
	cut  string
	ends []net.Conn
}

// NewTap makes one before the database, which ends with the test.
func (d Database) NewTap(t testing.TB) *Tap {
	t.Helper()
	config, err := pgx.ParseConfig(d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	tap := &Tap{t: t, to: net.JoinHostPort(config.Host, fmt.Sprint(config.Port))}
	network := "tcp"
	if strings.HasPrefix(config.Host, "/") {
		network, tap.to = "unix", filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr)
	tap.DSN = fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable", at.IP, at.Port, config.User, config.Password, config.Database)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			server, err := net.Dial(network, tap.to)
			if err != nil {
				_ = client.Close() // the client will tell
				continue
			}
			tap.mu.Lock()
			tap.ends = append(tap.ends, client, server)
			tap.mu.Unlock()
			group.Go(func() { tap.listen(client, server) })
			group.Go(func() {
				_, _ = io.Copy(client, server) // either end may go
				_ = client.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		tap.mu.Lock()
		for _, c := range tap.ends {
			_ = c.Close()
		}
		tap.mu.Unlock()
		group.Wait()
	})
	return tap
}

// Said gives what was sent since the last call: of each message its type, its
// length, and the statement that it names. Arguments of one length look alike.
func (t *Tap) Said() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	said := t.said
	t.said = nil
	return said
}

// Cut ends each connection, as a server does that dies, at the first message
// that begins with the text: with "B" at the first that binds arguments. Empty
// ends none.
func (t *Tap) Cut(at string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut = at
}

// maxMessage bounds what the store may send at once.
const maxMessage = 64 << 20

// listen passes messages on: a length without a type at first, then a type, a
// length and a body each (Postgres's manual, chapter on its protocol).
func (t *Tap) listen(client, server net.Conn) {
	defer server.Close()
	defer client.Close()
	for head := 4; ; head = 5 {
		message := make([]byte, head)
		if _, err := io.ReadFull(client, message); err != nil {
			return
		}
		length := binary.BigEndian.Uint32(message[head-4:])
		if length < 4 || length > maxMessage {
			t.t.Errorf("a message of %d bytes", length)
			return
		}
		message = append(message, make([]byte, length-4)...)
		if _, err := io.ReadFull(client, message[head:]); err != nil {
			return
		}
		if head == 5 && t.note(message) {
			return
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// note takes a message down, and tells whether the connection ends here.
func (t *Tap) note(message []byte) bool {
	said := fmt.Sprintf("%c %d", message[0], len(message))
	if message[0] == 'B' { // Bind: the portal's name, then the statement's
		names := strings.SplitN(string(message[5:]), "\x00", 3)
		said += " " + names[1]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said = append(t.said, said)
	return t.cut != "" && strings.HasPrefix(said, t.cut)
}
