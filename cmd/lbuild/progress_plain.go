package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/lbuild/lbuild/build"
)

// plainDisplay is a log: every line starts with the number of what it is about, given in order of appearance.
type plainDisplay struct {
	w       io.Writer
	numbers map[string]int
	started map[string]time.Time
	sizes   map[string]int64 // of blobs, by reference and digest
}

func newPlainDisplay(w io.Writer) *plainDisplay {
	return &plainDisplay{w: w, numbers: map[string]int{}, started: map[string]time.Time{}, sizes: map[string]int64{}}
}

// Show prints what e adds to the log, which for most steps of a transfer is nothing.
func (d *plainDisplay) Show(e build.Event) {
	switch e.Type {
	case build.EventStep:
		d.step(e)
	case build.EventLog:
		d.line(e.ID, "", "%.3f %s", d.since(e.ID, e.Time).Seconds(), printable(e.Text))
	case build.EventPack:
		d.pack(e)
	case build.EventPull, build.EventUnpack, build.EventPush:
		d.transfer(e)
	case build.EventWarning:
		fmt.Fprintln(d.w, warningLine(e))
	}
}

// Close has nothing to do.
func (*plainDisplay) Close() {}

// line prints one line about key, below a title line when it is the first.
func (d *plainDisplay) line(key, title, format string, args ...any) {
	number, known := d.numbers[key]
	if !known {
		number = len(d.numbers) + 1
		d.numbers[key] = number
		fmt.Fprintf(d.w, "#%d [%s]%s\n", number, key, title)
	}
	if format != "" {
		fmt.Fprintf(d.w, "#%d %s\n", number, fmt.Sprintf(format, args...))
	}
}

func (d *plainDisplay) since(key string, now time.Time) time.Duration {
	start, ok := d.started[key]
	if !ok {
		d.started[key], start = now, now
	}
	return now.Sub(start)
}

func (d *plainDisplay) step(e build.Event) {
	title := " " + firstLine(e.Name)
	switch e.State {
	case build.StateStarted:
		d.started[e.ID] = e.Time
		d.line(e.ID, title, "")
	case build.StateCached:
		d.line(e.ID, title, "CACHED")
	default:
		d.line(e.ID, title, "%s %.1fs", strings.ToUpper(string(e.State)), e.Seconds)
	}
}

func (d *plainDisplay) pack(e build.Event) {
	if e.State == build.StateStarted {
		d.line(e.ID, "", "") // of a layer of the base, which no step has brought up
	}
	if e.State != build.StateDone {
		return
	}
	if e.Digest == "" {
		d.line(e.ID, "", "no layer: nothing changed")
	} else {
		d.line(e.ID, "", "packed %s to %s in %.1fs %s", size(e.UncompressedSize), size(e.Size), e.Seconds, e.Digest)
	}
	if e.ReusedBytes > 0 {
		d.line(e.ID, "", "%s of it was packed before", size(e.ReusedBytes))
	}
	if e.Unchanged > 0 {
		d.line(e.ID, "", "left out %s of %s in all, copied up unchanged", plural(e.Unchanged, "file"), size(e.UnchangedBytes))
	}
}

// transfer prints the ends of transfers. An event without a digest is about the whole image.
func (d *plainDisplay) transfer(e build.Event) {
	key := string(e.Type) + " " + e.Name
	if e.Total > 0 {
		d.sizes[key+e.Digest] = e.Total
	}
	elapsed := d.since(key+e.Digest, e.Time)
	switch {
	case e.State == build.StateStarted:
		d.line(key, "", "")
	case e.State == "":
	case e.Digest == "":
		d.line(key, "", "%s %.1fs", strings.ToUpper(string(e.State)), elapsed.Seconds())
	case e.State == build.StateDone:
		d.line(key, "", "%s %s %.1fs", e.Digest, size(d.sizes[key+e.Digest]), elapsed.Seconds())
	default:
		d.line(key, "", "%s %s", e.Digest, e.State)
	}
}

// size is a number of bytes in decimal units, as docker prints them.
func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
