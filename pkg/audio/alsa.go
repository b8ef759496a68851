package audio

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

const soundDir = "/proc/asound"

// Bounds on what ALSA may have. The kernel allows 32 cards, with a handful of
// devices each on any real machine.
const (
	maxCards      = 64
	maxSubstreams = 2048
	maxProcFile   = 16 << 10
)

// Sound is what the kernel's sound system has.
type Sound struct {
	// Present tells whether the kernel has a sound system at all.
	Present bool
	Cards   []Card
	// Substreams counts all, and Open holds those that a program has open.
	Substreams int
	Open       []Substream
}

// Card is a sound card.
type Card struct {
	Index int
	ID    string // short, as in hw:ID
	Name  string // for people
}

// State is the state of an open substream, as the kernel writes it. States
// that are not listed here are possible.
type State string

// The states of a substream (snd_pcm_state_t).
const (
	Open         State = "OPEN"         // no parameters yet
	Setup        State = "SETUP"        // parameters, no start
	Prepared     State = "PREPARED"     // ready to start
	Running      State = "RUNNING"      // sound moves
	XRun         State = "XRUN"         // it ran, and its program was too late; it goes on when the program does
	Draining     State = "DRAINING"     // playing the rest
	Paused       State = "PAUSED"       // by its program
	Suspended    State = "SUSPENDED"    // by the machine's sleep
	Disconnected State = "DISCONNECTED" // the card was pulled out
)

// Active tells whether sound moves, or would if its program kept up.
func (s State) Active() bool { return s == Running || s == XRun || s == Draining }

// Known tells whether the state is one of those listed.
func (s State) Known() bool {
	return s.Active() || slices.Contains([]State{Open, Setup, Prepared, Paused, Suspended, Disconnected}, s)
}

// Substream is an open substream of a PCM device.
type Substream struct {
	Card      Card
	Device    int
	Sub       int
	Direction Direction
	Name      string // of the device, for people
	State     State
	// Owner is the program that has it open. Its PID is 0 when the kernel
	// names none that can be seen from here.
	Owner Process
	// RateHz and Channels are 0 before the parameters are set.
	RateHz   int
	Channels int
}

// String names the device, for messages.
func (s Substream) String() string {
	name := cmp.Or(s.Card.Name, s.Card.ID)
	if name != "" {
		name = " (" + name + ")"
	}
	return fmt.Sprintf("card %d device %d%s", s.Card.Index, s.Device, name)
}

// ReadSound reads the state of every substream. A machine without a sound
// system has none, which is no error; a /proc that shows only processes
// (ProcSubset=pid) is one.
func ReadSound(ctx context.Context, root hostfs.Root) (Sound, error) {
	var s Sound
	names, err := root.ReadDirNames(soundDir)
	if hostfs.Absent(err) {
		if _, err := root.Stat("/proc/meminfo"); hostfs.Absent(err) {
			return s, &SourceError{Hidden, soundDir, errors.New("/proc shows no files of the kernel here (ProcSubset=pid?)")}
		}
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Present = true
	titles, err := readTitles(root)
	if err != nil {
		return s, err
	}
	for _, index := range numbered(names, "card", "") {
		if len(s.Cards) == maxCards {
			return s, fmt.Errorf("list the cards in %s: more than %d", soundDir, maxCards)
		}
		if err := s.readCard(ctx, root, index, titles[index]); err != nil {
			return s, err
		}
	}
	return s, nil
}

// readTitles reads the names of the cards. Without the file there are none.
func readTitles(root hostfs.Root) (map[int]string, error) {
	data, err := root.ReadLimited(soundDir+"/cards", maxProcFile)
	if hostfs.Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseCards(data), nil
}

func (s *Sound) readCard(ctx context.Context, root hostfs.Root, index int, title string) error {
	dir := fmt.Sprintf("%s/card%d", soundDir, index)
	names, err := root.ReadDirNames(dir)
	if hostfs.Absent(err) {
		return nil // pulled out meanwhile
	}
	if err != nil {
		return err
	}
	id, err := root.ReadLimited(dir+"/id", maxProcFile)
	if err != nil && !hostfs.Absent(err) {
		return err
	}
	card := Card{Index: index, ID: clean(strings.TrimSpace(string(id))), Name: title}
	s.Cards = append(s.Cards, card)
	for _, d := range []struct {
		suffix string
		way    Direction
	}{{"p", Playback}, {"c", Capture}} {
		for _, device := range numbered(names, "pcm", d.suffix) {
			folder := fmt.Sprintf("%s/pcm%d%s", dir, device, d.suffix)
			if err := s.readDevice(ctx, root, folder, Substream{Card: card, Device: device, Direction: d.way}); err != nil {
				return err
			}
		}
	}
	return nil
}

// readDevice reads the substreams of one device and direction.
func (s *Sound) readDevice(ctx context.Context, root hostfs.Root, folder string, like Substream) error {
	names, err := root.ReadDirNames(folder)
	if hostfs.Absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, sub := range numbered(names, "sub", "") {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %s: %w", folder, err)
		}
		if s.Substreams++; s.Substreams > maxSubstreams {
			return fmt.Errorf("read %s: more than %d substreams", soundDir, maxSubstreams)
		}
		one := like
		one.Sub = sub
		open, err := one.read(root, fmt.Sprintf("%s/sub%d", folder, sub))
		if err != nil {
			return err
		}
		if open {
			s.Open = append(s.Open, one)
		}
	}
	return nil
}

// read reads one substream. It is open when somebody holds it.
func (one *Substream) read(root hostfs.Root, folder string) (open bool, err error) {
	data, err := root.ReadLimited(folder+"/status", maxProcFile)
	if hostfs.Absent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	status, err := parseStatus(data)
	if err != nil {
		return false, fmt.Errorf("parse %s/status: %w", folder, err)
	}
	if status.closed {
		return false, nil
	}
	one.State, one.Owner.PID = status.state, status.owner
	// What follows makes messages better and decides nothing.
	if data, err := root.ReadLimited(folder+"/info", maxProcFile); err == nil {
		one.Name = parseInfo(data)
	}
	if data, err := root.ReadLimited(folder+"/hw_params", maxProcFile); err == nil {
		one.RateHz, one.Channels = parseParams(data)
	}
	return true, nil
}

// numbered gives the numbers of the names that are prefix, number and suffix,
// in order.
func numbered(names []string, prefix, suffix string) []int {
	var found []int
	for _, name := range names {
		name, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, suffix); !ok {
			continue
		}
		n, err := strconv.ParseUint(name, 10, 16)
		if err == nil && strconv.FormatUint(n, 10) == name {
			found = append(found, int(n))
		}
	}
	slices.Sort(found)
	return found
}

// parseCards reads the names of cards from lines such as
//
//	0 [PCH            ]: HDA-Intel - HDA Intel PCH
//
// Lines that are no such line describe the card before, or say that there is
// none.
func parseCards(data []byte) map[int]string {
	names := map[int]string{}
	for line := range bytes.Lines(data) {
		head, rest, ok := strings.Cut(string(line), "]:")
		if !ok {
			continue
		}
		number, _, ok := strings.Cut(head, "[")
		if !ok {
			continue
		}
		index, err := strconv.ParseUint(strings.TrimSpace(number), 10, 16)
		if err != nil || len(names) == maxCards {
			continue
		}
		_, name, ok := strings.Cut(rest, " - ")
		if !ok {
			name = rest
		}
		names[int(index)] = clean(strings.TrimSpace(name))
	}
	return names
}

// status is a substream's status file.
type status struct {
	closed bool
	state  State
	owner  int
}

// parseStatus reads "closed", or lines of which the first ones are
//
//	state: RUNNING
//	owner_pid   : 4242
func parseStatus(data []byte) (status, error) {
	if string(bytes.TrimSpace(data)) == "closed" {
		return status{closed: true}, nil
	}
	var s status
	for key, value := range fields(data) {
		switch key {
		case "state":
			s.state = State(clean(value))
		case "owner_pid":
			pid, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return status{}, fmt.Errorf("owner_pid: %w", err)
			}
			s.owner = int(pid)
		}
	}
	if s.state == "" {
		return status{}, errors.New(`neither "closed" nor a state`)
	}
	return s, nil
}

// parseInfo finds the device's name, or else its id.
func parseInfo(data []byte) string {
	var id, name string
	for key, value := range fields(data) {
		switch key {
		case "id":
			id = value
		case "name":
			name = value
		}
	}
	return clean(cmp.Or(name, id))
}

// parseParams finds the rate and the channels; both are 0 before they are set.
func parseParams(data []byte) (rateHz, channels int) {
	for key, value := range fields(data) {
		number, _, _ := strings.Cut(value, " ") // rate: 48000 (48000/1)
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			continue
		}
		switch key {
		case "rate":
			rateHz = int(n)
		case "channels":
			channels = int(n)
		}
	}
	return rateHz, channels
}

// fields gives the keys and values of lines "key: value".
func fields(data []byte) func(yield func(key, value string) bool) {
	return func(yield func(string, string) bool) {
		for line := range bytes.Lines(data) {
			key, value, ok := strings.Cut(string(line), ":")
			if ok && !yield(strings.TrimSpace(key), strings.TrimSpace(value)) {
				return
			}
		}
	}
}
