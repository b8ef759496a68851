package eventlog

import "bytes"

// maxDepth bounds how deep values may nest, as encoding/json does.
const maxDepth = 10000

// Object tells whether data is one JSON object, as json.Valid would, and takes
// the values of some of its keys out as they are written: values[i] is that of
// keys[i], nil where the object has none. The values are parts of data. Of a
// key that is there twice the last counts. A key is known by its plain
// spelling, without escapes.
//
// It reads each byte once and makes nothing of what nobody asked for, which is
// most of an event.
func Object(data []byte, keys []string, values [][]byte) bool {
	clear(values)
	s := scanner{data: data}
	s.space()
	if !s.is('{') || !s.object(keys, values) {
		return false
	}
	s.space()
	return s.at == len(data)
}

// Array calls fn with each item of a JSON array, as it is written, and tells
// whether data is one that fn takes to its end.
func Array(data []byte, fn func(item []byte) bool) bool {
	s := scanner{data: data}
	s.space()
	if !s.is('[') || !s.array(fn) {
		return false
	}
	s.space()
	return s.at == len(data)
}

// scanner reads JSON (RFC 8259) byte by byte. Its methods begin at s.at and
// tell whether what they are named after is there; they then stand behind it.
type scanner struct {
	data  []byte
	at    int
	depth int
}

func (s *scanner) is(c byte) bool { return s.at < len(s.data) && s.data[s.at] == c }

// take steps over c where it is next.
func (s *scanner) take(c byte) bool {
	if !s.is(c) {
		return false
	}
	s.at++
	return true
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// object reads from its opening brace. Without keys it only looks whether it is
// right.
func (s *scanner) object(keys []string, values [][]byte) bool {
	if s.depth++; s.depth > maxDepth {
		return false
	}
	s.at++
	s.space()
	if s.take('}') {
		s.depth--
		return true
	}
	for {
		begin := s.at
		if !s.string() {
			return false
		}
		key := s.data[begin+1 : s.at-1]
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		begin = s.at
		if !s.value() {
			return false
		}
		for i, k := range keys {
			if string(key) == k {
				values[i] = s.data[begin:s.at]
			}
		}
		s.space()
		if s.take('}') {
			s.depth--
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

// array reads from its opening bracket; fn may be nil.
func (s *scanner) array(fn func([]byte) bool) bool {
	if s.depth++; s.depth > maxDepth {
		return false
	}
	s.at++
	s.space()
	if s.take(']') {
		s.depth--
		return true
	}
	for {
		begin := s.at
		if !s.value() || fn != nil && !fn(s.data[begin:s.at]) {
			return false
		}
		s.space()
		if s.take(']') {
			s.depth--
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

func (s *scanner) value() bool {
	if s.at >= len(s.data) {
		return false
	}
	switch s.data[s.at] {
	case '"':
		return s.string()
	case '{':
		return s.object(nil, nil)
	case '[':
		return s.array(nil)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.data[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

// plain marks the bytes that mean themselves in a string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) string() bool {
	if !s.take('"') {
		return false
	}
	data, at := s.data, s.at
	for at < len(data) {
		switch c := data[at]; {
		case plain[c]:
			at++
		case c == '"':
			s.at = at + 1
			return true
		case c != '\\' || at+1 >= len(data):
			return false
		case data[at+1] == 'u':
			if at+6 > len(data) || !hexadecimal(data[at+2:at+6]) {
				return false
			}
			at += 6
		case bytes.IndexByte([]byte(`"\/bfnrt`), data[at+1]) < 0:
			return false
		default:
			at += 2
		}
	}
	return false
}

func hexadecimal(digits []byte) bool {
	for _, c := range digits {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

// digits reads one or more.
func (s *scanner) digits() bool {
	begin := s.at
	for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at > begin
}
