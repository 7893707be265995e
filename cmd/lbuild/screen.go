package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/lbuild/lbuild/build"
)

// maxTail is how many of its last lines a running step shows at most.
const maxTail = 5

// screen is what the terminal shows of a build: a pure function of the events so far, the time and the size.
type screen struct {
	style     palette
	steps     []*liveStep // in the order in which they started
	transfers []*transfer
	packing   int // layers
	finished  int // steps
	start     time.Time
}

// liveStep is a step that runs.
type liveStep struct {
	id, name string
	start    time.Time
	tail     []string
}

// transfer is a pull or push of one image.
type transfer struct {
	what  string // "pull" or "push"
	name  string
	start time.Time
	blobs map[string]build.Event // the last event of each
}

func newScreen(color bool) *screen {
	return &screen{style: newPalette(color)}
}

// apply takes e up and returns the lines that stay on the terminal for good.
func (s *screen) apply(e build.Event) []string {
	if s.start.IsZero() {
		s.start = e.Time
	}
	switch e.Type {
	case build.EventStep:
		return s.step(e)
	case build.EventLog:
		s.log(e)
	case build.EventPack:
		s.pack(e)
	case build.EventPull, build.EventUnpack, build.EventPush:
		return s.transfer(e)
	case build.EventWarning:
		return []string{s.style.warning.Styled(warningLine(e))}
	}
	return nil
}

func (s *screen) step(e build.Event) []string {
	if e.State == build.StateStarted {
		s.steps = append(s.steps, &liveStep{id: e.ID, name: firstLine(e.Name), start: e.Time})
		return nil
	}
	s.steps = slices.DeleteFunc(s.steps, func(l *liveStep) bool { return l.id == e.ID })
	s.finished++
	return []string{s.stepLine(s.mark(e.State), e.ID, firstLine(e.Name), s.outcome(e))}
}

// mark is the sign before a finished step.
func (s *screen) mark(state build.State) string {
	switch state {
	case build.StateFailed:
		return s.style.bad.Styled("✗")
	case build.StateCanceled:
		return s.style.dim.Styled("-")
	default:
		return s.style.good.Styled("✓")
	}
}

func (s *screen) outcome(e build.Event) string {
	switch e.State {
	case build.StateCached:
		return s.style.dim.Styled("cached")
	case build.StateFailed:
		return s.style.bad.Styled(fmt.Sprintf("failed %s", seconds(e.Seconds)))
	case build.StateCanceled:
		return s.style.dim.Styled("canceled")
	default:
		return s.style.dim.Styled(seconds(e.Seconds))
	}
}

// stepLine puts the time first, so that it survives a narrow terminal.
func (s *screen) stepLine(mark, id, name, outcome string) string {
	return fmt.Sprintf("%s %s %s %s", mark, padLeft(outcome, timeWidth), s.style.id.Styled("["+id+"]"), name)
}

func (s *screen) log(e build.Event) {
	i := slices.IndexFunc(s.steps, func(l *liveStep) bool { return l.id == e.ID })
	if i < 0 {
		return
	}
	step := s.steps[i]
	step.tail = append(step.tail, printable(e.Text))
	if len(step.tail) > maxTail {
		step.tail = slices.Delete(step.tail, 0, 1)
	}
}

func (s *screen) pack(e build.Event) {
	if e.State == build.StateStarted {
		s.packing++
	} else {
		s.packing = max(0, s.packing-1)
	}
}

// transfer keeps the last event of every blob. An event without a digest is about the whole image and ends it.
func (s *screen) transfer(e build.Event) []string {
	t := s.transferOf(e)
	if e.Digest != "" {
		if e.Total == 0 {
			e.Total = t.blobs[e.Digest].Total
		}
		t.blobs[e.Digest] = e
		return nil
	}
	if e.State == build.StateStarted || e.State == "" {
		return nil
	}
	s.transfers = slices.DeleteFunc(s.transfers, func(other *transfer) bool { return other == t })
	e.Seconds = e.Time.Sub(t.start).Seconds()
	return []string{s.stepLine(s.mark(e.State), t.what, t.name, s.outcome(e))}
}

func (s *screen) transferOf(e build.Event) *transfer {
	i := slices.IndexFunc(s.transfers, func(t *transfer) bool { return t.name == e.Name && t.what == string(e.Type) })
	if i >= 0 {
		return s.transfers[i]
	}
	t := &transfer{what: string(e.Type), name: e.Name, start: e.Time, blobs: map[string]build.Event{}}
	s.transfers = append(s.transfers, t)
	return t
}

// lines is the part of the terminal that is drawn again, never higher than the terminal.
func (s *screen) lines(now time.Time, width, height int) []string {
	var lines []string
	for _, t := range s.transfers {
		if t.running() {
			lines = append(lines, s.transferLine(t, now))
		}
	}
	room := height - 2 - len(lines) - len(s.steps) // for tails; a line for the status, one for the cursor
	for _, step := range s.steps {
		lines = append(lines, s.stepLine(s.spinner(now), step.id, step.name, elapsed(step.start, now)))
		tail := step.tail[max(0, len(step.tail)-max(0, room)):]
		for _, line := range tail {
			lines = append(lines, s.style.dim.Styled("  │ "+ansi.Truncate(line, max(0, width-tailIndent-1), "…")))
		}
		room -= len(tail)
	}
	lines = append(lines, s.status(now))
	return lines[max(0, len(lines)-max(1, height-1)):]
}

// tailIndent is the width of what stands before a line of output.
const tailIndent = 4

func (s *screen) status(now time.Time) string {
	parts := []string{fmt.Sprintf("%d done", s.finished), fmt.Sprintf("%d running", len(s.steps))}
	if s.packing > 0 {
		parts = append(parts, plural(s.packing, "layer")+" being packed")
	}
	if !s.start.IsZero() {
		parts = append(parts, elapsed(s.start, now))
	}
	return s.style.dim.Styled("  " + strings.Join(parts, " · "))
}

// running reports whether a blob of t is on its way.
func (t *transfer) running() bool {
	for _, blob := range t.blobs {
		if blob.State == build.StateStarted || blob.State == "" {
			return true
		}
	}
	return len(t.blobs) == 0
}

func (s *screen) transferLine(t *transfer, now time.Time) string {
	var current, total int64
	for _, blob := range t.blobs {
		if blob.State == build.StateDone || blob.State == build.StateExists {
			blob.Current = blob.Total
		}
		current += blob.Current
		total += blob.Total
	}
	amount := ""
	if total > 0 {
		amount = fmt.Sprintf(" %s of %s", size(current), size(total))
	}
	return s.stepLine(s.spinner(now), t.what, t.name+amount, elapsed(t.start, now))
}

// spinner is one of its signs, by the time.
func (s *screen) spinner(now time.Time) string {
	signs := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	return s.style.busy.Styled(signs[now.UnixMilli()/frameInterval.Milliseconds()%int64(len(signs))])
}
