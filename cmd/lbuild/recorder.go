package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build"
)

// tailLines is how many of its last lines a failed step shows again.
const tailLines = 20

// recorder passes events on to a display and keeps what is needed when the build fails. Warnings of the store come beside
// the events of a build.
type recorder struct {
	mu       sync.Mutex
	next     display
	keepTail bool
	tails    map[string][]string // last lines of the steps that run, by ID
	failed   []build.Event
	ended    bool // the build itself has sent its error or result
	closed   bool
}

func newRecorder(next display, keepTail bool) *recorder {
	return &recorder{next: next, keepTail: keepTail, tails: map[string][]string{}}
}

// record starts a display, which then has the warnings of the store, too.
func (a *app) record(mode progressMode, keepTail bool) *recorder {
	r := newRecorder(a.newDisplay(mode), keepTail)
	a.shown.Store(r)
	return r
}

// Show passes e on.
func (r *recorder) Show(e build.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Type {
	case build.EventLog:
		r.keep(e)
	case build.EventStep:
		r.stepEnds(e)
	case build.EventError, build.EventResult:
		r.ended = true
	}
	r.next.Show(e)
}

// warn shows a warning, unless the display is closed.
func (r *recorder) warn(e build.Event) (shown bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.next.Show(e)
	}
	return !r.closed
}

func (r *recorder) keep(e build.Event) {
	if !r.keepTail {
		return
	}
	tail := r.tails[e.ID]
	if len(tail) == tailLines {
		copy(tail, tail[1:])
		tail = tail[:tailLines-1]
	}
	r.tails[e.ID] = append(tail, e.Text)
}

func (r *recorder) stepEnds(e build.Event) {
	switch e.State {
	case build.StateFailed:
		r.failed = append(r.failed, e)
	case build.StateDone, build.StateCanceled:
		delete(r.tails, e.ID)
	}
}

// finish sends the event that ends a build, and closes the display.
func (r *recorder) finish(ctx context.Context, manifest digest.Digest, err error) {
	end := build.Event{Version: 1, Time: time.Now()}
	switch {
	case err != nil:
		end.Type, end.Text = build.EventError, errorText(ctx, err)
	default:
		end.Type, end.Digest = build.EventResult, manifest.String()
	}
	if !r.ended {
		r.Show(end)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.next.Close()
}

// writeFailed prints the last lines of the steps that failed.
func (r *recorder) writeFailed(w io.Writer) {
	for _, step := range r.failed {
		lines := r.tails[step.ID]
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(w, "last output of [%s] %s:\n", step.ID, firstLine(step.Name))
		for _, line := range lines {
			fmt.Fprintf(w, "  │ %s\n", printable(line))
		}
	}
}
