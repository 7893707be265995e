package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/lbuild/lbuild/build"
)

// progressMode is the value of --progress.
type progressMode string

// The ways to show a build. Auto is tty on a terminal, else plain.
const (
	progressAuto  progressMode = "auto"
	progressTTY   progressMode = "tty"
	progressPlain progressMode = "plain"
	progressJSON  progressMode = "json"
	progressQuiet progressMode = "quiet"
)

func progressNames() []string {
	return []string{
		string(progressAuto), string(progressTTY), string(progressPlain), string(progressJSON), string(progressQuiet),
	}
}

// String, Set and Type make a progressMode a flag.
func (m *progressMode) String() string { return string(*m) }

// Type is not shown, because the flag's usage names its values.
func (m *progressMode) Type() string { return "mode" }

// Set refuses unknown modes.
func (m *progressMode) Set(text string) error {
	if !slices.Contains(progressNames(), text) {
		return fmt.Errorf("want one of %s", strings.Join(progressNames(), ", "))
	}
	*m = progressMode(text)
	return nil
}

// display shows events on stderr. Show is called by one goroutine at a time and never waits for the terminal longer than
// a write takes. Close, after the last event, leaves the cursor on a fresh line.
type display interface {
	Show(build.Event)
	Close()
}

// newDisplay starts the display for mode.
func (a *app) newDisplay(mode progressMode) display {
	if mode == progressAuto {
		mode = a.autoProgress()
	}
	switch mode {
	case progressTTY:
		return startTTY(a.stderr, a.env("NO_COLOR") == "")
	case progressJSON:
		return newJSONDisplay(a.stderr)
	case progressQuiet:
		return quietDisplay{a.stderr}
	default:
		return newPlainDisplay(a.stderr)
	}
}

// autoProgress redraws on a terminal that can do so, unless a log would be drawn over.
func (a *app) autoProgress() progressMode {
	if a.debug || a.env("TERM") == "dumb" || !isTerminal(a.stderr) {
		return progressPlain
	}
	return progressTTY
}

// warningLine is a warning as all displays of text show it.
func warningLine(e build.Event) string {
	place := e.File
	if place != "" && e.Line > 0 {
		place = fmt.Sprintf("%s:%d", place, e.Line)
	}
	if place != "" {
		place += ": "
	}
	return "warning: " + place + printable(e.Text)
}

// printable makes a line that a step wrote harmless for a terminal: no escape sequences, no control characters. What a
// carriage return would have hidden is left out.
func printable(line string) string {
	line = ansi.Strip(strings.TrimRight(line, "\r"))
	line = line[strings.LastIndexByte(line, '\r')+1:]
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, line)
}

// firstLine is the first line of an instruction, which may be a heredoc.
func firstLine(text string) string {
	first, _, more := strings.Cut(text, "\n")
	if more {
		first += " …"
	}
	return printable(first)
}
