package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// palette is the colors of the terminal display; empty styles leave text as it is.
type palette struct{ good, bad, warning, busy, id, dim ansi.Style }

// newPalette uses only the terminal's own 16 colors, so that they fit its background.
func newPalette(color bool) palette {
	if !color {
		return palette{}
	}
	return palette{
		good:    ansi.NewStyle(ansi.AttrGreenForegroundColor),
		bad:     ansi.NewStyle(ansi.AttrRedForegroundColor),
		warning: ansi.NewStyle(ansi.AttrYellowForegroundColor),
		busy:    ansi.NewStyle(ansi.AttrCyanForegroundColor),
		id:      ansi.NewStyle(ansi.AttrBold),
		dim:     ansi.NewStyle(ansi.AttrFaint),
	}
}

// fit cuts a line so that the terminal does not wrap it, which would spoil the count of lines to draw over.
func fit(line string, width int) string {
	return ansi.Truncate(line, max(1, width-1), "…")
}

// timeWidth is the width of the column of times, enough for "failed 10m23s".
const timeWidth = 8

// padLeft and padRight fill text up to a width in terminal cells.
func padLeft(text string, width int) string {
	return strings.Repeat(" ", max(0, width-ansi.StringWidth(text))) + text
}

func padRight(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

func elapsed(start, now time.Time) string { return seconds(now.Sub(start).Seconds()) }

// seconds prints a duration with tenths below a minute: 3.2s, 4m05s, 2h03m.
func seconds(s float64) string {
	whole := int(s)
	switch {
	case s < 0:
		return "0.0s"
	case whole < 60:
		return fmt.Sprintf("%.1fs", s)
	case whole < 3600:
		return fmt.Sprintf("%dm%02ds", whole/60, whole%60)
	default:
		return fmt.Sprintf("%dh%02dm", whole/3600, whole/60%60)
	}
}
