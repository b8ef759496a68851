package unitfile

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// Value is what stands behind the equals sign: one of the types of this
// package.
type Value interface {
	// text is the value as it is written. Characters, length and white space
	// at its ends are checked by the caller.
	text() (string, error)
}

type reset struct{}

func (reset) text() (string, error) { return "", nil }

// Reset is the empty value, which clears a list that was set before.
var Reset Value = reset{}

// Bool is yes or no.
type Bool bool

func (v Bool) text() (string, error) {
	if v {
		return "yes", nil
	}
	return "no", nil
}

// Int is a whole number.
type Int int

func (v Int) text() (string, error) { return strconv.Itoa(int(v)), nil }

// Weight is a CPU or IO weight, from 1 to 10000; the kernel's default is 100.
type Weight int

func (v Weight) text() (string, error) {
	if v < 1 || v > 10000 {
		return "", fmt.Errorf("weight %d is not within 1 to 10000", int(v))
	}
	return strconv.Itoa(int(v)), nil
}

// Bytes is an amount of memory, written in the largest binary unit in which it
// is whole.
type Bytes uint64

// Unlimited is no limit on an amount of memory.
const Unlimited Bytes = math.MaxUint64

func (v Bytes) text() (string, error) {
	if v == Unlimited {
		return "infinity", nil
	}
	n, units := uint64(v), []string{"", "K", "M", "G", "T"}
	for len(units) > 1 && n != 0 && n%1024 == 0 {
		n, units = n/1024, units[1:]
	}
	return strconv.FormatUint(n, 10) + units[0], nil
}

// Duration is a span of time. systemd counts microseconds; a finer value is an
// error, because its end would be lost.
type Duration time.Duration

// Forever is the absence of a bound on time. A service that uses it says why.
const Forever Duration = math.MaxInt64

func (v Duration) text() (string, error) {
	switch d := time.Duration(v); {
	case v == Forever:
		return "infinity", nil
	case v < 0:
		return "", fmt.Errorf("duration %s is negative", d)
	case v == 0:
		return "0", nil
	case d%time.Microsecond != 0:
		return "", fmt.Errorf("duration %s is finer than a microsecond", d)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second), nil
	case d%time.Millisecond == 0:
		return fmt.Sprintf("%dms", d/time.Millisecond), nil
	default:
		return fmt.Sprintf("%dus", d/time.Microsecond), nil
	}
}

// Units is a list of unit names.
type Units []string

func (v Units) text() (string, error) {
	if len(v) == 0 {
		return "", errors.New("the list of units is empty")
	}
	for _, name := range v {
		if err := CheckUnitName(name); err != nil {
			return "", err
		}
	}
	return strings.Join(v, " "), nil
}

// Tokens is a list of plain words: system call groups, address families,
// device classes, URIs of documentation.
type Tokens []string

func (v Tokens) text() (string, error) {
	if len(v) == 0 {
		return "", errors.New("the list is empty")
	}
	for _, w := range v {
		if w == "" || strings.ContainsAny(w, " \t\"'\\") {
			return "", fmt.Errorf("%q is no plain word: it is empty or holds a space, a quote or a backslash", w)
		}
	}
	return escapePercent(strings.Join(v, " ")), nil
}

// Path is an absolute path, or one behind a hyphen, which allows it to be
// absent.
type Path string

func (v Path) text() (string, error) {
	if err := checkPath(strings.TrimPrefix(string(v), "-")); err != nil {
		return "", err
	}
	return escapePercent(string(v)), nil
}

// checkPath wants a path that means one place only.
func checkPath(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p {
		return fmt.Errorf("%q is not an absolute path in its shortest form", p)
	}
	return nil
}

func escapePercent(s string) string { return strings.ReplaceAll(s, "%", "%%") }
