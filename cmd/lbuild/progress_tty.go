package main

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8/cwriter"

	"github.com/lbuild/lbuild/build"
)

const frameInterval = 100 * time.Millisecond

// What a terminal that does not tell its size is taken for.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// ttyDisplay draws a screen again and again at the bottom of a terminal. What is finished scrolls up above it and stays.
type ttyDisplay struct {
	mu     sync.Mutex
	screen *screen
	log    []string // finished lines that are not written yet

	out    *cwriter.Writer
	size   func() (width, height int)
	stop   chan struct{}
	drawer sync.WaitGroup
}

// startTTY starts drawing on w; Close ends it.
func startTTY(w io.Writer, color bool) *ttyDisplay {
	d := newTTYDisplay(w, color)
	d.drawer.Go(d.draw)
	return d
}

func newTTYDisplay(w io.Writer, color bool) *ttyDisplay {
	return &ttyDisplay{screen: newScreen(color), out: cwriter.New(lineStart{w}), size: sizeOf(w), stop: make(chan struct{})}
}

// lineStart begins each frame in the first column, where the cursor is not after the terminal has echoed a key.
type lineStart struct{ w io.Writer }

func (l lineStart) Write(p []byte) (int, error) {
	if _, err := l.w.Write(append([]byte{'\r'}, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sizeOf asks for the size of the terminal each time, because it may be resized.
func sizeOf(w io.Writer) func() (int, int) {
	return func() (int, int) {
		if f, ok := w.(*os.File); ok {
			width, height, err := cwriter.GetSize(int(f.Fd()))
			if err == nil && width > 0 && height > 0 {
				return width, height
			}
		}
		return defaultWidth, defaultHeight
	}
}

// Show takes e up for the next frame.
func (d *ttyDisplay) Show(e build.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, d.screen.apply(e)...)
}

// Close replaces the frame by what is left of the log.
func (d *ttyDisplay) Close() {
	close(d.stop)
	d.drawer.Wait()
	d.frame(time.Time{})
}

// draw draws frames until Close.
func (d *ttyDisplay) draw() {
	ticks := time.NewTicker(frameInterval)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			d.frame(now)
		case <-d.stop:
			return
		}
	}
}

// frame writes the new lines of the log, and below them the screen as it is at now; a zero now leaves the screen out.
// A terminal that is gone does not stop the build, so errors are dropped.
func (d *ttyDisplay) frame(now time.Time) {
	width, height := d.size()
	d.mu.Lock()
	log := d.log
	d.log = nil
	var live []string
	if !now.IsZero() {
		live = d.screen.lines(now, width, height)
	}
	d.mu.Unlock()

	for _, line := range log {
		_, _ = io.WriteString(d.out, fit(line, width)+"\n")
	}
	for _, line := range live {
		_, _ = io.WriteString(d.out, fit(line, width)+"\n")
	}
	_ = d.out.Flush(len(live))
}

// isTerminal reports whether a stream of this process is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && cwriter.IsTerminal(int(f.Fd()))
}
