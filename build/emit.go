package build

import (
	"bytes"
	"sync"
	"time"
)

// maxLogLine is where a line of output without an end is cut into two events, in bytes.
const maxLogLine = 64 << 10

// emitter numbers, dates and serializes events, and keeps count of what overlaps. A nil sink drops them.
type emitter struct {
	mu      sync.Mutex
	sink    func(Event)
	overlap overlap
}

func (e *emitter) emit(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Version, ev.Time = 1, time.Now()
	e.overlap.note(ev)
	if e.sink != nil {
		e.sink(ev)
	}
}

// packsItself notes that a step begins to pack its own layer, or to wait until it may. Nobody is told.
func (e *emitter) packsItself(step string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.overlap.packsItself(step, time.Now())
}

// work is how long layers were packed and blobs pushed so far.
func (e *emitter) work() (packing, pushing Work) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.overlap.packing, e.overlap.pushing
}

// lines sends what is written to it as log events, a line each.
type lines struct {
	to     *emitter
	id     string
	stream int
	rest   []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLogLine {
			return len(p), nil
		}
		if i < 0 {
			l.send(l.rest)
			l.rest = l.rest[:0]
			return len(p), nil
		}
		l.send(bytes.TrimSuffix(l.rest[:i], []byte{'\r'}))
		l.rest = l.rest[i+1:]
	}
}

// flush sends a last line that has no end.
func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.send(l.rest)
		l.rest = nil
	}
}

func (l *lines) send(line []byte) {
	l.to.emit(Event{Type: EventLog, ID: l.id, Stream: l.stream, Text: string(line)})
}
