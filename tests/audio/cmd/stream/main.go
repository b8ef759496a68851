// stream plays silence or records over the pulse protocol, in ways that the
// tools of a distribution can't: paused from the start, muted, as a
// notification, as a level meter. It goes on until it is killed.
//
//	stream play|record [name=NAME] [device=NAME] [role=ROLE] [corked] [muted] [peaks]
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	none    = 0xffffffff
	version = 15 // the last one without formats
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("play or record?")
	}
	conn, err := net.Dial("unix", filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "pulse/native"))
	if err != nil {
		return err
	}
	defer conn.Close()
	value := func(key, otherwise string) string {
		for _, a := range args {
			if v, ok := strings.CutPrefix(a, key+"="); ok {
				return v
			}
		}
		return otherwise
	}
	flag := func(name string) bool { return slices.Contains(args, name) }
	props := map[string]string{
		"application.name": value("name", "stream"), "application.process.id": strconv.Itoa(os.Getpid()),
	}
	// Only on request: WirePlumber keeps by it whether a stream is muted, and
	// mutes the next one that has it.
	if role := value("role", ""); role != "" {
		props["media.role"] = role
	}
	corked, muted, peaks := flag("corked"), flag("muted"), flag("peaks")
	rate := uint32(48000)
	if peaks {
		rate = 25
	}
	commands := []message{
		message{}.u32(8).u32(0).u32(version).bytes(make([]byte, 256)),
		message{}.u32(9).u32(1).props(props),
	}
	begin := func(command uint32) message {
		// 16 bits, one channel
		m := message{}.u32(command).u32(2).raw('a', 3, 1).number(rate).raw('m', 1, 0)
		m = m.u32(none).text(value("device", "")).u32(none)
		return m.flags(corked)
	}
	if args[0] == "play" {
		m := begin(3).u32(none).u32(0).u32(none).u32(0).raw('v', 1).number(0x10000)
		m = m.flags(false, false, false, false, false, false, false) // nothing is fixed
		m = m.flags(muted, false).props(props)
		commands = append(commands, m.flags(false, false).flags(muted, false, false))
	} else {
		m := begin(5).u32(none).flags(false, false, false, false, false, false, false)
		m = m.flags(peaks, peaks).props(props).u32(none)
		commands = append(commands, m.flags(false).flags(false, false))
	}
	for _, c := range commands {
		header := message{}.number(uint32(len(c))).number(none).number(0).number(0).number(0)
		if _, err := conn.Write(append(header, c...)); err != nil {
			return err
		}
	}
	return answers(conn)
}

// answers reads what the server sends, until it refuses something.
func answers(conn net.Conn) error {
	for {
		var header [20]byte
		if _, err := io.ReadFull(conn, header[:]); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(header[:]))
		if _, err := io.ReadFull(conn, body); err != nil {
			return err
		}
		if binary.BigEndian.Uint32(header[4:]) == none && len(body) >= 15 && binary.BigEndian.Uint32(body[1:]) == 0 {
			return fmt.Errorf("the server refuses command %d with error %d", binary.BigEndian.Uint32(body[6:]), binary.BigEndian.Uint32(body[11:]))
		}
	}
}

type message []byte

func (m message) raw(b ...byte) message   { return append(m, b...) }
func (m message) number(v uint32) message { return binary.BigEndian.AppendUint32(m, v) }
func (m message) u32(v uint32) message    { return m.raw('L').number(v) }
func (m message) bytes(b []byte) message  { return m.raw('x').number(uint32(len(b))).raw(b...) }
func (m message) string(s string) message { return m.raw('t').raw([]byte(s)...).raw(0) }
func (m message) flags(on ...bool) message {
	for _, v := range on {
		m = append(m, map[bool]byte{true: '1', false: '0'}[v])
	}
	return m
}

// text is a string, or none.
func (m message) text(s string) message {
	if s == "" {
		return m.raw('N')
	}
	return m.string(s)
}

func (m message) props(p map[string]string) message {
	m = m.raw('P')
	for k, v := range p {
		m = m.string(k).u32(uint32(len(v) + 1)).bytes(append([]byte(v), 0))
	}
	return m.raw('N')
}
