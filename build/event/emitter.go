package event

import (
	"sync"
	"time"
)

// Emitter dates and serializes events, and keeps count of what overlaps. Its zero value drops them. It may be
// used from several goroutines.
type Emitter struct {
	// Sink is called for each event, one call at a time, in order; nil drops them. It is set before the first event.
	Sink func(Event)

	mu      sync.Mutex
	overlap overlap
}

// Emit sends an event, with its version and the time.
func (e *Emitter) Emit(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Version, ev.Time = 1, time.Now()
	e.overlap.note(ev)
	if e.Sink != nil {
		e.Sink(ev)
	}
}

// PacksItself notes that a step begins to pack its own layer, or to wait until it may. Nobody is told.
func (e *Emitter) PacksItself(step string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.overlap.packsItself(step, time.Now())
}

// Work is how long layers were packed and blobs pushed so far.
func (e *Emitter) Work() (packing, pushing Work) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.overlap.packing, e.overlap.pushing
}
