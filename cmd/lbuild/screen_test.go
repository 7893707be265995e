package main

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/lbuild/lbuild/build"
)

// terminal shows what a person would see after bytes were written to it: the lines above the cursor, and its own.
func terminal(t *testing.T, written string) []string {
	t.Helper()
	control := regexp.MustCompile("^\x1b\\[([0-9;]*)([A-Za-z])")
	lines, row, col := []string{""}, 0, 0
	for len(written) > 0 {
		if m := control.FindStringSubmatch(written); m != nil {
			switch m[2] {
			case "A":
				n, _ := strconv.Atoi(m[1])
				row -= n
				if row < 0 {
					t.Fatalf("the cursor went above the first line")
				}
			case "J":
				if col != 0 {
					t.Fatalf("erased from the middle of a line")
				}
				lines = append(lines[:row:row], "")
			}
			written = written[len(m[0]):]
			continue
		}
		text, rest := written[:1], written[1:]
		switch text {
		case "\n":
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
			col = 0
		case "\r":
			col = 0
		default:
			end := strings.IndexAny(written, "\n\r\x1b")
			if end < 0 {
				end = len(written)
			}
			text, rest = written[:end], written[end:]
			lines[row] = lines[row][:min(col, len(lines[row]))] + text
			col += len(text)
		}
		written = rest
	}
	return lines
}

func TestTheTerminalShowsFinishedStepsAboveAndRunningStepsBelow(t *testing.T) {
	var out bytes.Buffer
	d := newTTYDisplay(&out, false)
	d.size = func() (int, int) { return 60, 20 }
	var frames bytes.Buffer
	events := failingBuild()
	for i, e := range events {
		d.Show(e)
		if i == 4 || i == 13 {
			d.frame(e.Time)
			frames.WriteString("--- after " + e.Time.Sub(clock).String() + "\n" + strings.Join(terminal(t, out.String()), "\n"))
		}
	}
	d.Close()
	frames.WriteString("--- at the end\n" + strings.Join(terminal(t, out.String()), "\n"))
	golden(t, "progress/tty.golden", frames.Bytes())
}

func TestFramesFitAnyTerminal(t *testing.T) {
	for _, size := range []struct{ width, height int }{{1, 1}, {10, 2}, {20, 5}, {39, 6}, {80, 24}, {400, 3}} {
		s := newScreen(true)
		for _, e := range failingBuild()[:14] {
			for _, line := range s.apply(e) {
				if w := ansi.StringWidth(fit(line, size.width)); w > size.width {
					t.Errorf("%v: a finished line is %d wide: %q", size, w, line)
				}
			}
			lines := s.lines(e.Time, size.width, size.height)
			if len(lines) > max(1, size.height-1) {
				t.Errorf("%v: a frame has %d lines", size, len(lines))
			}
			for _, line := range lines {
				if w := ansi.StringWidth(fit(line, size.width)); w > size.width {
					t.Errorf("%v: a line is %d wide: %q", size, w, line)
				}
			}
		}
	}
}

func TestColorsAreOnlyUsedWhenAllowed(t *testing.T) {
	for _, color := range []bool{true, false} {
		s := newScreen(color)
		var all []string
		for _, e := range failingBuild() {
			all = append(all, s.apply(e)...)
			all = append(all, s.lines(e.Time, 80, 24)...)
		}
		if got := strings.Contains(strings.Join(all, "\n"), "\x1b["); got != color {
			t.Errorf("color %t: escape sequences are there: %t", color, got)
		}
	}
}

func TestTheDisplayDrawsWhileNothingHappensAndEndsWithClose(t *testing.T) {
	var out syncBuffer
	d := startTTY(&out, false)
	d.Show(build.Event{Type: build.EventStep, Time: time.Now(), ID: "1/1", Name: "RUN sleep", State: build.StateStarted})
	deadline := time.Now().Add(10 * time.Second)
	for strings.Count(out.String(), "RUN sleep") < 2 {
		if time.Now().After(deadline) {
			t.Fatal("not drawn twice within 10 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.Show(build.Event{Type: build.EventStep, Time: time.Now(), ID: "1/1", Name: "RUN sleep", State: build.StateDone, Seconds: 1})
	d.Close()
	want := []string{"✓     1.0s [1/1] RUN sleep", ""}
	if diff := cmp.Diff(want, terminal(t, out.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSecondsStayShort(t *testing.T) {
	for in, want := range map[float64]string{
		-1: "0.0s", 0: "0.0s", 0.04: "0.0s", 3.21: "3.2s", 59.94: "59.9s", 60: "1m00s", 245: "4m05s", 3599: "59m59s", 7380: "2h03m", 360000: "100h00m",
	} {
		if got := seconds(in); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
}
