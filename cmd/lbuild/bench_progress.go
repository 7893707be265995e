package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/lbuild/lbuild/bench"
)

// benchDisplay shows on stderr how far bench is. Close leaves the cursor on a fresh line, and waits for the last frame.
type benchDisplay interface {
	Show(bench.Progress)
	Close()
}

// newBenchDisplay is a bar on a terminal that can redraw, else lines.
func (a *app) newBenchDisplay() benchDisplay {
	if a.autoProgress() == progressTTY {
		return newBenchBar(a.stderr)
	}
	return &benchLines{w: a.stderr}
}

// benchLines is a line for each round.
type benchLines struct {
	w    io.Writer
	last string
}

func (l *benchLines) Show(p bench.Progress) {
	var line string
	switch {
	case p.Input == "":
		return
	case p.Codec == "":
		line = "preparing " + p.Input
	default:
		line = fmt.Sprintf("%s: run %d", p.Input, p.Run)
	}
	if line = printable(line); line != l.last {
		fmt.Fprintln(l.w, line)
		l.last = line
	}
}

func (l *benchLines) Close() {}

const benchBarWidth = 30

// benchBar is a bar with what is being measured beside it.
type benchBar struct {
	w        io.Writer
	progress *mpb.Progress
	bar      *mpb.Bar
	now      chan string // what is being measured
}

func newBenchBar(w io.Writer) *benchBar {
	b := &benchBar{w: w, progress: mpb.New(mpb.WithOutput(w)), now: make(chan string, 1)}
	text := "starting"
	what := decor.Any(func(decor.Statistics) string {
		select {
		case text = <-b.now:
		default:
		}
		return text
	})
	b.bar = b.progress.New(0, mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding("─"),
		mpb.BarWidth(benchBarWidth), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d "), decor.Elapsed(decor.ET_STYLE_GO), decor.Name(" ")),
		mpb.AppendDecorators(what))
	return b
}

func (b *benchBar) Show(p bench.Progress) {
	select {
	case <-b.now: // nobody has drawn it
	default:
	}
	b.now <- benchStatus(p)
	b.bar.SetTotal(int64(p.Total), false)
	b.bar.SetCurrent(int64(p.Done))
}

func (b *benchBar) Close() {
	// The terminal may have echoed a key; the last frame is erased from where the cursor is.
	_, _ = io.WriteString(b.w, "\r")
	b.bar.Abort(true)
	b.progress.Wait()
}

func benchStatus(p bench.Progress) string {
	parts := []string{p.Input}
	switch {
	case p.Input == "":
		return "done"
	case p.Codec == "":
		parts = append(parts, "preparing")
	default:
		parts = append(parts, fmt.Sprintf("run %d", p.Run), p.Codec, plural(p.Workers, "worker"))
	}
	return printable(strings.Join(parts, " · "))
}
