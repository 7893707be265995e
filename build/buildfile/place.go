package buildfile

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// At gives err a place: the line of loc that holds word, with the caret under it; without word, or when it is not
// there as written, the first line. An error that has a place already is returned as it is, nil stays nil.
func (f *File) At(loc []parser.Range, word string, err error) error {
	var placed *Error
	if err == nil || errors.As(err, &placed) {
		return err
	}
	line, s := f.find(loc, word)
	if line == 0 {
		return &Error{File: f.Name, Err: err}
	}
	return f.at(line, s, err)
}

// atKeyword is At with the caret under the instruction's own name.
func (f *File) atKeyword(loc []parser.Range, keyword string, err error) error {
	first, last := f.bounds(loc)
	for line := first; line <= last; line++ {
		if start := strings.Index(f.lines[line-1], keyword); start >= 0 {
			return f.at(line, span{start, start + len(keyword)}, err)
		}
	}
	return f.At(loc, "", err)
}

// bounds gives the first and last line of loc inside the file; last is less than first when there are none.
func (f *File) bounds(loc []parser.Range) (int, int) {
	if len(loc) == 0 {
		return 1, 0
	}
	first, last := len(f.lines), 1
	for _, r := range loc {
		first, last = min(first, r.Start.Line), max(last, r.End.Line)
	}
	return min(max(1, first), len(f.lines)), min(last, len(f.lines))
}

func (f *File) find(loc []parser.Range, word string) (int, span) {
	first, last := f.bounds(loc)
	if first > last {
		return 0, span{}
	}
	if word == "" {
		return first, span{}
	}
	for _, search := range []func(string, string) int{indexWord, strings.Index} {
		for line := first; line <= last; line++ {
			text := f.lines[line-1]
			skip := 0
			if line == first {
				skip = keywordEnd(text)
			}
			if isComment(text) && first != last {
				continue
			}
			if i := search(text[skip:], word); i >= 0 {
				return line, span{skip + i, skip + i + len(word)}
			}
		}
	}
	return first, span{}
}

// keywordEnd is where the instruction's name ends.
func keywordEnd(text string) int {
	trimmed := strings.TrimLeftFunc(text, unicode.IsSpace)
	if i := strings.IndexFunc(trimmed, unicode.IsSpace); i >= 0 && !isComment(text) {
		return len(text) - len(trimmed) + i
	}
	return 0
}

// indexWord finds word where it is not part of a longer one.
func indexWord(text, word string) int {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return -1
		}
		start, end := from+i, from+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !(start > 0 && isWordRune(before)) && !(end < len(text) && isWordRune(after)) {
			return start
		}
		_, size := utf8.DecodeRuneInString(text[start:])
		from = start + size
	}
}

func isWordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./", r)
}

func lineRange(line int) []parser.Range {
	return []parser.Range{{Start: parser.Position{Line: line}, End: parser.Position{Line: line}}}
}

// quoted gives the first quoted word of a message: often the culprit.
func quoted(message string) string {
	i := strings.IndexByte(message, '"')
	if i < 0 {
		return ""
	}
	literal, err := strconv.QuotedPrefix(message[i:])
	if err != nil {
		return ""
	}
	word, _ := strconv.Unquote(literal)
	return word
}

// text gives the lines of loc.
func (f *File) text(loc []parser.Range) string {
	first, last := f.bounds(loc)
	if first > last {
		return ""
	}
	return strings.Join(f.lines[first-1:last], "\n")
}
