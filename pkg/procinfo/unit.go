package procinfo

import (
	"strconv"
	"strings"
)

// Unit tells which systemd unit a control group belongs to: the one of the
// system manager, and below user@UID.service also the one of that user's
// manager. Either is "" where there is none: for a slice itself, the root, and
// groups that systemd didn't make. Names are as systemd writes them, "\x2d"
// included; control groups that a service makes below its own belong to it.
func Unit(cgroup string) (system, user string) {
	system, rest := unitAt(components(cgroup))
	if _, ok := managerUID(system); ok {
		user, _ = unitAt(rest)
	}
	return system, user
}

// Session is the id of the logind session whose scope a control group is or
// lies in, "" where there is none. A program that was started as a unit of the
// user's manager belongs to no session, even if it shows windows in one.
func Session(cgroup string) string {
	system, _ := unitAt(components(cgroup))
	id, ok := strings.CutPrefix(system, "session-")
	if !ok {
		return ""
	}
	id, ok = strings.CutSuffix(id, ".scope")
	if !ok || id == "" || strings.Trim(id, letters+digits) != "" {
		return ""
	}
	return id
}

// UID is the user whose slice or manager a control group lies in; false for
// everything outside user slices.
func UID(cgroup string) (uint32, bool) {
	rest := components(cgroup)
	for len(rest) > 0 && isUnit(unescape(rest[0]), ".slice") {
		name, ok := strings.CutPrefix(unescape(rest[0]), "user-")
		if ok {
			if uid, ok := parseUID(strings.TrimSuffix(name, ".slice")); ok {
				return uid, true
			}
		}
		rest = rest[1:]
	}
	system, _ := unitAt(rest)
	return managerUID(system)
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
	// maxUnitName is systemd's limit on a unit's name, in bytes.
	maxUnitName = 255
)

// components splits a path at its slashes, without empty parts.
func components(cgroup string) []string {
	return strings.FieldsFunc(cgroup, func(r rune) bool { return r == '/' })
}

// unitAt gives the unit that follows the slices at the beginning of parts, and
// what comes below it. "" says that no unit follows.
func unitAt(parts []string) (unit string, rest []string) {
	for len(parts) > 0 && isUnit(unescape(parts[0]), ".slice") {
		parts = parts[1:]
	}
	if len(parts) == 0 {
		return "", nil
	}
	name := unescape(parts[0])
	for _, suffix := range []string{".service", ".scope", ".socket", ".mount", ".swap"} {
		if isUnit(name, suffix) {
			return name, parts[1:]
		}
	}
	return "", nil
}

// unescape takes off the underscore that systemd puts in front of a unit name
// that the kernel could take for a file of its own.
func unescape(component string) string { return strings.TrimPrefix(component, "_") }

// isUnit tells whether name is that of a unit of the type that suffix says.
// "NAME@" and a suffix name a template, which never has a control group.
func isUnit(name, suffix string) bool {
	stem, ok := strings.CutSuffix(name, suffix)
	if !ok || stem == "" || len(name) > maxUnitName || stem[0] == '@' || stem[len(stem)-1] == '@' {
		return false
	}
	return strings.Trim(stem, letters+digits+":-_.\\@") == ""
}

// managerUID is the user whose manager a unit is.
func managerUID(unit string) (uint32, bool) {
	name, ok := strings.CutPrefix(unit, "user@")
	if !ok {
		return 0, false
	}
	name, ok = strings.CutSuffix(name, ".service")
	if !ok {
		return 0, false
	}
	return parseUID(name)
}

// parseUID reads a user's number as systemd writes it: decimal, without signs
// or leading zeros, and none of the two numbers that mean "nobody at all".
func parseUID(text string) (uint32, bool) {
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil || strconv.FormatUint(uid, 10) != text || uid == 1<<16-1 || uid == 1<<32-1 {
		return 0, false
	}
	return uint32(uid), true
}
