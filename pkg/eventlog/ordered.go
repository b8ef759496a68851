package eventlog

import (
	"errors"
	"runtime"
	"sync"
)

// Parse makes of the line of an event what a reader wants of it, or says that
// it is none: a line that is no JSON object has to be refused (see Object). It
// runs in several goroutines at once. The line may be kept until the call that
// gets the result has returned.
type Parse[T any] func(line []byte) (T, bool)

// Back calls fn with each event that the log held when it was opened, newest
// first. It stops at the first error of fn and returns it as it is. Lines up to
// there that parse refuses, or that are longer than MaxLine, are skipped and
// counted as bad; empty lines don't count.
//
// It takes no lock. If it meets a writer in the middle of a write, that line
// counts as bad this time.
func Back[T any](r *Reader, parse Parse[T], fn func(T) error) (bad int, err error) {
	return ordered(r.back, parse, fn)
}

// All is Back, oldest first.
func All[T any](r *Reader, parse Parse[T], fn func(T) error) (bad int, err error) {
	return ordered(r.all, parse, fn)
}

// Sizes of a batch of lines, in bytes. The first is small: who wants the last
// few events gets them at once.
const (
	firstBatch = 64 << 10
	maxBatch   = 512 << 10
)

// workers bounds how many batches are parsed at once, and how far reading is
// ahead of what fn has got.
const workers = 4

// batch is a few lines on their way from the file to fn.
type batch[T any] struct {
	text   []byte
	ends   []int // of the lines in text
	parsed []result[T]
	done   chan struct{}
}

type result[T any] struct {
	item T
	ok   bool
}

// errStopped ends the reading of what nobody wants any more.
var errStopped = errors.New("stopped")

// ordered hands the lines of a log to parse, many at a time, and what came of
// them to fn, in the order of the lines.
func ordered[T any](lines func(each) error, parse Parse[T], fn func(T) error) (bad int, err error) {
	n := min(workers, runtime.GOMAXPROCS(0))
	p := pipe[T]{
		queue: make(chan *batch[T], n), work: make(chan *batch[T], n),
		free: make(chan *batch[T], 2*n+2), stop: make(chan struct{}),
	}
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for b := range p.work {
				b.parse(parse)
			}
		})
	}
	var failure error
	all.Go(func() { failure = p.read(lines) })
	for b := range p.queue {
		<-b.done
		for i := range b.parsed {
			if err != nil {
				break
			}
			if r := &b.parsed[i]; r.ok {
				err = fn(r.item)
			} else {
				bad++
			}
		}
		if err != nil {
			break
		}
		p.give(b)
	}
	close(p.stop)
	for range p.queue { // the reader sees that it is to stop
	}
	all.Wait()
	if err == nil && !errors.Is(failure, errStopped) {
		err = failure
	}
	return bad, err
}

// pipe carries batches from the reader to the workers, and in order to fn.
type pipe[T any] struct {
	queue, work, free chan *batch[T]
	stop              chan struct{}
}

// read fills batches with lines.
func (p *pipe[T]) read(lines func(each) error) error {
	defer close(p.work)
	defer close(p.queue)
	limit := firstBatch
	b := p.take(limit)
	err := lines(func(line []byte) error {
		b.text = append(b.text, line...)
		b.ends = append(b.ends, len(b.text))
		if len(b.text) < limit {
			return nil
		}
		if !p.send(b) {
			return errStopped
		}
		limit = min(2*limit, maxBatch)
		b = p.take(limit)
		return nil
	})
	if len(b.ends) > 0 {
		p.send(b)
	}
	return err
}

func (p *pipe[T]) send(b *batch[T]) bool {
	select {
	case p.queue <- b:
		p.work <- b // the workers go on until it is closed
		return true
	case <-p.stop:
		return false
	}
}

// take gives an empty batch with room for a limit of bytes and the line that
// goes beyond it; give takes one back that was used.
func (p *pipe[T]) take(limit int) *batch[T] {
	b := &batch[T]{}
	select {
	case b = <-p.free:
	default:
	}
	if cap(b.text) < limit {
		b.text = make([]byte, 0, limit+limit/4)
	}
	b.text, b.ends, b.parsed, b.done = b.text[:0], b.ends[:0], b.parsed[:0], make(chan struct{})
	return b
}

func (p *pipe[T]) give(b *batch[T]) {
	clear(b.parsed) // what they refer to is not kept for long
	select {
	case p.free <- b:
	default:
	}
}

func (b *batch[T]) parse(parse Parse[T]) {
	defer close(b.done)
	begin := 0
	for _, end := range b.ends {
		var r result[T]
		if end > begin {
			r.item, r.ok = parse(b.text[begin:end:end])
		}
		b.parsed = append(b.parsed, r)
		begin = end
	}
}
