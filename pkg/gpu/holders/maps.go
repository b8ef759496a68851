package holders

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// mappings looks for devices that are mapped, which keeps them open after the
// descriptor was closed.
func (w *worker) mappings(pid int, h *held) error {
	fd, err := open(w.proc, w.file(pid, "/maps"))
	if hostfs.Absent(err) && !w.root.Real() {
		return nil // a fixture's process need not have any
	}
	if err != nil {
		return classify(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("maps is no regular file: %w", errUnreadable)
	}
	rest := 0
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, w.text[rest:]) })
		if err != nil {
			return classify(err)
		}
		if n == 0 {
			return nil
		}
		data := w.text[:rest+n]
		for {
			line, after, ok := bytes.Cut(data, []byte{'\n'})
			if !ok {
				break
			}
			if err := w.mapping(pid, line, h); err != nil {
				return err
			}
			data = after
		}
		if len(data) == len(w.text) {
			return fmt.Errorf("a line of maps is longer than %d bytes: %w", len(w.text), errUnreadable)
		}
		rest = copy(w.text, data)
	}
}

// mapping looks at one line of maps. A file whose name looks like that of a
// card, and that is none of the nodes in /dev, is asked for by its range.
func (w *worker) mapping(pid int, line []byte, h *held) error {
	m, ok := parseMapping(line)
	if !ok || m.at.number == 0 {
		return nil
	}
	n, known := w.nodes[m.at]
	if !known {
		if !looksLikeCard(m.name) {
			return nil
		}
		var err error
		n, err = w.resolve.mapped(pid, string(m.span))
		if errors.Is(err, fs.ErrPermission) && len(h.devices) > 0 {
			return nil // map_files needs one more capability, and it is a holder already
		}
		if err != nil {
			return classify(err)
		}
	}
	if n.ok && w.wanted[n.major] != "" {
		h.add(n)
		h.mappings++
	}
	return nil
}

func looksLikeCard(name []byte) bool {
	return bytes.Contains(name, []byte("/dri/")) || bytes.Contains(name, []byte("/nvidia")) && bytes.HasPrefix(name, []byte("/dev/"))
}

// mappedFile is a line of maps.
type mappedFile struct {
	span []byte // "START-END"
	at   inode
	name []byte
}

// parseMapping reads
//
//	7f00c000-7f00d000 rw-s 00000000 00:06 391    /dev/dri/card0
//
// It is called for every mapping of every process, so it does not allocate.
func parseMapping(line []byte) (mappedFile, bool) {
	var m mappedFile
	var field [5][]byte
	for i := range field {
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			end = len(line)
		}
		field[i], line = line[:end], bytes.TrimLeft(line[end:], " ")
	}
	dev := field[3]
	colon := bytes.IndexByte(dev, ':')
	if colon < 0 {
		return m, false
	}
	major, okMajor := digits(dev[:colon], 16)
	minor, okMinor := digits(dev[colon+1:], 16)
	ino, okIno := digits(field[4], 10)
	if !okMajor || !okMinor || !okIno || major>>32 != 0 || minor>>32 != 0 {
		return m, false
	}
	m.span, m.at, m.name = field[0], inode{uint32(major), uint32(minor), ino}, line
	return m, true
}

// digits reads a number without a copy of its text.
func digits(text []byte, base uint64) (uint64, bool) {
	var n uint64
	for _, c := range text {
		d := uint64(99)
		switch {
		case c >= '0' && c <= '9':
			d = uint64(c - '0')
		case c >= 'a' && c <= 'f':
			d = uint64(c-'a') + 10
		}
		if d >= base || n > (1<<64-1-d)/base {
			return 0, false
		}
		n = n*base + d
	}
	return n, len(text) > 0
}
