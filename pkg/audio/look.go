package audio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ryjen/dubnium/pkg/hostfs"
)

// maxServers bounds the users whose servers are asked, all at the same time.
const maxServers = 64

// systemSocket is where a pulse server that serves the whole machine listens.
const systemSocket = "/run/pulse/native"

// Look gathers what there is to know, within ctx and each server's own
// deadline. What could not be read is among the problems.
func Look(ctx context.Context, root hostfs.Root, o Options) Snapshot {
	start := time.Now()
	var s Snapshot
	sound := async(func() answer[Sound] {
		v, err := within(ctx, func() (Sound, error) { return ReadSound(ctx, root) })
		return answer[Sound]{v, err}
	})
	f, err := within(ctx, func() (found, error) { return findProcesses(root, o.Workstations) })
	if err != nil {
		s.add(sourceError(fileTrouble(err), "/proc", err))
	}
	s.Workstations, s.Foreign = f.workstations, f.foreign
	s.ask(ctx, root, f, cmp.Or(o.ServerTimeout, DefaultServerTimeout))
	got := <-sound
	s.Sound = got.value
	if got.err != nil {
		s.add(sourceError(fileTrouble(got.err), soundDir, got.err))
	}
	for i := range s.Sound.Open {
		one := &s.Sound.Open[i]
		one.Owner = owner(root, f, one.Owner.PID)
	}
	for _, server := range s.Servers {
		server.identify(f)
	}
	s.nameUsers(root)
	s.Took = time.Since(start)
	return s
}

func (s *Snapshot) add(e *SourceError) { s.Problems = append(s.Problems, e) }

// ask asks one pulse server a user, all at the same time, and looks up JACK's
// clients.
func (s *Snapshot) ask(ctx context.Context, root hostfs.Root, f found, timeout time.Duration) {
	asked := map[int]bool{}
	for _, p := range f.pulse {
		if !asked[p.UID] {
			asked[p.UID] = true
			s.Servers = append(s.Servers, Server{Process: p, Kind: Pulse})
		}
	}
	if len(s.Servers) > maxServers {
		s.add(&SourceError{Unreadable, "audio servers", fmt.Errorf("%d users run one, and only %d are asked", len(s.Servers), maxServers)})
		s.Servers = s.Servers[:maxServers]
	}
	problems := make([]*SourceError, len(s.Servers))
	var all sync.WaitGroup
	for i := range s.Servers {
		all.Go(func() { problems[i] = s.Servers[i].ask(ctx, root, timeout) })
	}
	all.Wait()
	for _, p := range problems {
		if p != nil {
			s.add(p)
		}
	}
	for _, p := range f.core {
		if asked[p.UID] {
			continue
		}
		asked[p.UID] = true
		whom := cmp.Or(userName(root, p.UID), fmt.Sprintf("uid %d", p.UID))
		s.add(&SourceError{Deaf, p.String(), fmt.Errorf("pipewire-pulse, which tells who plays, does not run: install it where it is missing, and start it as %s: systemctl --user start pipewire-pulse", whom)})
	}
	for _, p := range f.jack {
		server := Server{Process: p, Kind: Jack}
		clients, err := within(ctx, func() ([]string, error) { return jackClients(root, p) })
		if err != nil {
			s.add(sourceError(fileTrouble(err), p.String(), err))
		}
		server.Clients = clients
		s.Servers = append(s.Servers, server)
	}
}

// ask asks a pulse server what it plays and records, as its own user.
func (s *Server) ask(ctx context.Context, root hostfs.Root, timeout time.Duration) *SourceError {
	start := time.Now()
	defer func() { s.Took = time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	source := fmt.Sprintf("%s of uid %d", s.Process, s.UID)
	as := user{s.UID, s.UID}
	dir := runtimeDir(s.UID)
	switch owner, err := ownerOf(root, dir); {
	case err == nil && owner.uid != s.UID:
		return &SourceError{Stranger, source, fmt.Errorf("%s belongs to uid %d", dir, owner.uid)}
	case err == nil:
		as = owner
	}
	g, err := askServer(ctx, root.Path(dir, "pulse/native"), as, s.UID)
	if unseen(root, dir+"/pulse/native", err) {
		missing := err
		// A socket there may be process 1's, which starts a server for it.
		if g, err = askServer(ctx, root.Path(systemSocket), as, s.UID, 0); unseen(root, systemSocket, err) {
			return &SourceError{Hidden, source, fmt.Errorf("it runs, but its socket can't be seen (ProtectHome= hides /run/user): %w", missing)}
		}
	}
	if err != nil {
		trouble := troubleOf(err)
		if trouble == Timeout {
			err = fmt.Errorf("no answer within %v: %w", time.Since(start).Round(time.Millisecond), err)
		}
		return sourceError(trouble, source, err)
	}
	s.Graph = g
	return nil
}

// unseen tells whether a conversation failed because there is no socket. A
// sandbox may put a folder in its place that its user may not even enter.
func unseen(root hostfs.Root, socket string, err error) bool {
	if errors.Is(err, fs.ErrPermission) {
		_, err = root.Stat(socket)
	}
	return hostfs.Absent(err)
}

// identify looks up the programs of streams and clients. A program says itself
// which process it is, and one in a container counts from 1: what is no process
// of the same user is left out, and so is the server that speaks for others.
func (s *Server) identify(f found) {
	if s.Graph == nil {
		return
	}
	find := func(numbers ...int) Process {
		for _, n := range numbers {
			if p, ok := f.byPID[n]; ok && p.UID == s.UID && !serves(p.Comm) {
				return p
			}
		}
		return Process{}
	}
	for i := range s.Graph.Streams {
		s.Graph.Streams[i].Program = find(s.Graph.Streams[i].PID)
	}
	for i := range s.Graph.Clients {
		s.Graph.Clients[i].Program = find(s.Graph.Clients[i].TruePID, s.Graph.Clients[i].PID)
	}
}

// nameUsers fills in the login names.
func (s *Snapshot) nameUsers(root hostfs.Root) {
	names := map[int]string{}
	name := func(p *Process) {
		if _, ok := names[p.UID]; !ok {
			names[p.UID] = userName(root, p.UID)
			if p.UID == 0 && names[0] == "" {
				names[0] = "root"
			}
		}
		p.User = names[p.UID]
	}
	for i := range s.Servers {
		name(&s.Servers[i].Process)
	}
	for i := range s.Workstations {
		name(&s.Workstations[i])
	}
	for i := range s.Foreign {
		name(&s.Foreign[i])
	}
	for i := range s.Sound.Open {
		if s.Sound.Open[i].Owner.Comm != "" {
			name(&s.Sound.Open[i].Owner)
		}
	}
	slices.SortStableFunc(s.Servers, func(a, b Server) int { return cmp.Compare(a.UID, b.UID) })
}

// fileTrouble sorts an error of reading the kernel's files.
func fileTrouble(err error) Trouble {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Timeout
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return Hidden
	default:
		return Unreadable
	}
}

type answer[T any] struct {
	value T
	err   error
}

func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// within runs f, which can't be cancelled, until ctx ends. A read of a file may
// block for good; the goroutine is then left behind.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	done := async(func() answer[T] {
		v, err := f()
		return answer[T]{v, err}
	})
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}
