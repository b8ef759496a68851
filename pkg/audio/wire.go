package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The native protocol of PulseAudio writes each value behind a letter that
// tells its type. Numbers are big-endian.
const (
	tagString     = 't' // bytes and a zero
	tagNull       = 'N' // no string, and the end of a property list
	tagU32        = 'L'
	tagU8         = 'B'
	tagTrue       = '1'
	tagFalse      = '0'
	tagSpec       = 'a' // sample format, channels, rate
	tagMap        = 'm' // channel map: a count and that many bytes
	tagVolumes    = 'v' // a count and that many volumes
	tagVolume     = 'V'
	tagMicros     = 'U' // microseconds
	tagProperties = 'P'
	tagArbitrary  = 'x' // a length and that many bytes
	tagFormat     = 'f' // an encoding and a property list
)

// Bounds on what a server may send.
const (
	maxFrame    = 4 << 20
	maxEntries  = 4096 // of a list
	maxKeys     = 1024 // of a property list
	maxProperty = 64 << 10
	maxText     = 64 // of what is kept of a text, in bytes
)

// errProtocol says that what a server sent is not the protocol.
var errProtocol = errors.New("not the native protocol of PulseAudio")

// noIndex is the protocol's "none" among indices.
const noIndex = 1<<32 - 1

// encoder writes values.
type encoder struct{ b []byte }

func (e *encoder) u32(v uint32) { e.b = binary.BigEndian.AppendUint32(append(e.b, tagU32), v) }

func (e *encoder) text(s string) { e.b = append(append(append(e.b, tagString), s...), 0) }

func (e *encoder) bytes(p []byte) {
	e.b = append(binary.BigEndian.AppendUint32(append(e.b, tagArbitrary), uint32(len(p))), p...)
}

// property writes a list of one property.
func (e *encoder) property(key, value string) {
	e.b = append(e.b, tagProperties)
	e.text(key)
	e.u32(uint32(len(value) + 1))
	e.bytes(append([]byte(value), 0))
	e.b = append(e.b, tagNull)
}

// decoder reads values. After the first one that is not what it should be,
// every further one is zero and err tells of the first.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errProtocol, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

// more tells whether there is something left to read.
func (d *decoder) more() bool { return d.err == nil && len(d.b) > 0 }

// take gives the next n bytes, or nil.
func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b) {
		d.fail("%d bytes are missing", n-len(d.b))
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

// one gives the next byte, or zero.
func (d *decoder) one() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

// raw gives the next four bytes as a number, or zero.
func (d *decoder) raw() uint32 {
	if p := d.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// tag takes the letter of a type.
func (d *decoder) tag(want byte) bool {
	if got := d.one(); d.err == nil && got != want {
		d.fail("a value of type %q, where %q was expected", got, want)
	}
	return d.err == nil
}

func (d *decoder) u32() uint32 {
	if !d.tag(tagU32) {
		return 0
	}
	return d.raw()
}

func (d *decoder) u8() byte {
	if !d.tag(tagU8) {
		return 0
	}
	return d.one()
}

func (d *decoder) flag() bool {
	switch got := d.one(); got {
	case tagTrue:
		return true
	case tagFalse:
	default:
		d.fail("a value of type %q, where a boolean was expected", got)
	}
	return false
}

// text reads a string; one that is not there is empty.
func (d *decoder) text() []byte {
	switch got := d.one(); got {
	case tagString:
		return d.terminated()
	case tagNull:
	default:
		d.fail("a value of type %q, where a string was expected", got)
	}
	return nil
}

func (d *decoder) terminated() []byte {
	end := bytes.IndexByte(d.b, 0)
	if end < 0 {
		d.fail("a string without an end")
		return nil
	}
	return d.take(end + 1)[:end]
}

// properties calls each with the properties of a list.
func (d *decoder) properties(each func(key string, value []byte)) {
	if !d.tag(tagProperties) {
		return
	}
	for n := 0; d.err == nil; n++ {
		switch got := d.one(); {
		case d.err != nil || got == tagNull:
			return
		case got != tagString:
			d.fail("a value of type %q, where a property's name was expected", got)
			return
		case n == maxKeys:
			d.fail("more than %d properties in a list", maxKeys)
			return
		}
		key := d.terminated()
		announced := d.u32()
		if !d.tag(tagArbitrary) {
			return
		}
		size := d.raw()
		if d.err == nil && (size != announced || size > maxProperty) {
			d.fail("a property of %d bytes, announced with %d", size, announced)
		}
		value := d.take(int(size))
		if d.err == nil && each != nil {
			each(string(key), bytes.TrimSuffix(value, []byte{0}))
		}
	}
}

// format skips a format.
func (d *decoder) format() {
	if d.tag(tagFormat) {
		d.u8()
		d.properties(nil)
	}
}

// skip passes over values of these types.
func (d *decoder) skip(types ...byte) {
	for _, t := range types {
		switch t {
		case tagString:
			d.text()
			continue
		case tagTrue, tagFalse:
			d.flag()
			continue
		case tagProperties:
			d.properties(nil)
			continue
		case tagFormat:
			d.format()
			continue
		}
		if !d.tag(t) {
			return
		}
		switch t {
		case tagU8:
			d.take(1)
		case tagU32, tagVolume:
			d.take(4)
		case tagSpec:
			d.take(6)
		case tagMicros:
			d.take(8)
		case tagMap:
			d.take(int(d.one()))
		case tagVolumes:
			d.take(4 * int(d.one()))
		default:
			panic(fmt.Sprintf("audio: no size known of the type %q", t))
		}
	}
}

// list calls each for the entries of a list, until it is read or fails.
func (d *decoder) list(each func()) error {
	for n := 0; d.more(); n++ {
		if n == maxEntries {
			d.fail("more than %d entries in a list", maxEntries)
			break
		}
		each()
	}
	return d.err
}

// clean makes a text that somebody else chose fit for a message: valid UTF-8
// of at most maxText bytes, without what a terminal would take for more than
// letters.
func clean[T string | []byte](text T) string {
	s := string(text[:min(len(text), 4*maxText)])
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// same tells whether two names are the same but for case.
func same(names []string, name string) bool {
	return name != "" && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}
