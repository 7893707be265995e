package buildfile

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/clipperhouse/displaywidth"
)

// Error is a problem at a place in a Buildfile. Line and Column count from 1 and are 0 for the file as a whole;
// Column counts characters.
type Error struct {
	File    string
	Line    int
	Column  int
	Excerpt string // the line, the one above it and a row with carets; "" without a line
	Err     error
}

// Error gives file, line and message on the first line; the excerpt follows.
func (e *Error) Error() string {
	place := e.File
	if e.Line > 0 {
		place = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	text := fmt.Sprintf("%s: %v", place, e.Err)
	if e.Excerpt == "" {
		return text
	}
	return text + "\n" + e.Excerpt
}

// Unwrap gives the cause, which knows nothing of files.
func (e *Error) Unwrap() error { return e.Err }

// span is a part of a line in bytes; an empty one stands for the whole line.
type span struct{ start, end int }

func (f *File) at(line int, s span, err error) *Error {
	text := f.lines[line-1]
	if s.start >= s.end {
		s = wholeLine(text)
	}
	return &Error{
		File:    f.Name,
		Line:    line,
		Column:  len([]rune(text[:s.start])) + 1,
		Excerpt: f.excerpt(line, s),
		Err:     err,
	}
}

func wholeLine(text string) span {
	start := len(text) - len(strings.TrimLeftFunc(text, unicode.IsSpace))
	end := len(strings.TrimRightFunc(text, unicode.IsSpace))
	return span{min(start, end), end}
}

// excerpt shows a line under the one before it, with carets under s.
func (f *File) excerpt(line int, s span) string {
	const gutter = 4 // columns for the line number
	width := max(gutter, len(fmt.Sprint(line)))
	above, marked, carets := window(f.above(line), f.lines[line-1], s)
	var out strings.Builder
	if line > 1 {
		fmt.Fprintf(&out, "%s\n", strings.TrimRight(fmt.Sprintf("%*d │ %s", width, line-1, above), " "))
	}
	fmt.Fprintf(&out, "%s\n", strings.TrimRight(fmt.Sprintf("%*d │ %s", width, line, marked), " "))
	fmt.Fprintf(&out, "%*s │ %s", width, "", carets)
	return out.String()
}

func (f *File) above(line int) string {
	if line < 2 {
		return ""
	}
	return f.lines[line-2]
}

// maxExcerpt is how many columns of a line an excerpt shows.
const maxExcerpt = 100

// window cuts both lines to the same columns, so that the marked part is in view, and draws the carets.
func window(above, line string, s span) (string, string, string) {
	before := displaywidth.String(printable(line[:s.start]))
	marked := displaywidth.String(printable(line[:s.end])) - before
	from := 0
	if before+marked > maxExcerpt {
		from = max(0, before-maxExcerpt/4)
	}
	carets := min(max(marked, 1), max(1, maxExcerpt-(before-from)))
	return clip(printable(above), from), clip(printable(line), from),
		strings.Repeat(" ", before-from) + strings.Repeat("^", carets)
}

// clip shows the columns of text from the given one on; an ellipsis stands for what is cut.
func clip(text string, from int) string {
	var out strings.Builder
	column := 0
	for g := displaywidth.StringGraphemes(text); g.Next(); {
		start := column
		column += g.Width()
		switch {
		case column <= from:
		case start < from: // half of a wide character
			out.WriteString(strings.Repeat(" ", column-from))
		case column > from+maxExcerpt:
			return mark(out.String(), from) + "…"
		default:
			out.WriteString(g.Value())
		}
	}
	return mark(out.String(), from)
}

// mark puts an ellipsis in place of the first column where something was cut before it.
func mark(text string, from int) string {
	if from == 0 || text == "" {
		return text
	}
	g := displaywidth.StringGraphemes(text)
	g.Next()
	return "…" + strings.Repeat(" ", max(0, g.Width()-1)) + text[len(g.Value()):]
}

// tabStop is where printable aligns text after a tab.
const tabStop = 8

// printable makes text safe for a terminal and its width countable: tabs become spaces, control characters a mark.
func printable(text string) string {
	var out strings.Builder
	column := 0
	for g := displaywidth.StringGraphemes(text); g.Next(); {
		value := g.Value()
		if value == "\t" {
			value = strings.Repeat(" ", tabStop-column%tabStop)
		} else {
			value = strings.Map(visible, value)
		}
		out.WriteString(value)
		column += displaywidth.String(value)
	}
	return out.String()
}

func visible(r rune) rune {
	if unicode.IsPrint(r) || unicode.In(r, unicode.Zs, unicode.Join_Control) {
		return r
	}
	return unicode.ReplacementChar
}
