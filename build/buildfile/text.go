package buildfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// What a Buildfile may hold. The parser recurses into nested ONBUILD, so its depth needs a bound.
const (
	maxSize = 2 << 20 // bytes
	maxLine = 65535   // bytes, the parser's own limit
)

var errNesting = fmt.Errorf("variables stand more than %d deep in each other", maxNesting)

// load refuses text that the parser cannot be trusted with and keeps the lines for excerpts.
func (f *File) load(text []byte) error {
	if len(text) > maxSize {
		return &Error{File: f.Name, Err: fmt.Errorf("a Buildfile of %d bytes is too large, %d are allowed", len(text), maxSize)}
	}
	f.lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	var depth nesting
	for i, line := range f.lines {
		f.lines[i] = strings.TrimSuffix(line, "\r")
		if where, err := checkLine(line); err != nil {
			return f.at(i+1, where, err)
		}
		if depth.line(line); depth.deepest > maxNesting {
			return f.at(i+1, span{}, errNesting)
		}
	}
	return nil
}

// checkLine lets any bytes but NUL pass in a comment: old files have Latin-1 names there.
func checkLine(line string) (span, error) {
	if len(line) > maxLine {
		return span{}, fmt.Errorf("line of %d bytes is too long, %d are allowed", len(line), maxLine)
	}
	if i := strings.IndexByte(line, 0); i >= 0 {
		return span{i, i + 1}, errors.New("unexpected NUL byte: a Buildfile is UTF-8 text")
	}
	if isComment(line) {
		return span{}, nil
	}
	for i, r := range line {
		if _, size := utf8.DecodeRuneInString(line[i:]); r == utf8.RuneError && size == 1 {
			return span{i, i + 1}, errors.New("invalid UTF-8")
		}
	}
	return span{}, nil
}

func isComment(line string) bool {
	return strings.HasPrefix(strings.TrimSpace(line), "#")
}

// directives are the settings in the comments at the top of a file.
type directives struct {
	check *linter.Config // never nil
}

// directives reads the leading comments as the parser does, only with the right line in its errors.
func (f *File) directives() (directives, error) {
	d := directives{check: &linter.Config{}}
	var p parser.DirectiveParser
	for i, line := range f.lines {
		text := strings.TrimSpace(line)
		directive, err := p.ParseLine([]byte(text))
		if err != nil {
			return d, f.At(lineRange(i+1), text, err)
		}
		if directive == nil {
			return d, nil
		}
		if err := f.direct(&d, directive); err != nil {
			return d, f.At(lineRange(i+1), directive.Value, err)
		}
	}
	return d, nil
}

func (f *File) direct(d *directives, directive *parser.Directive) error {
	switch directive.Name {
	case "escape":
		if directive.Value != "`" && directive.Value != `\` {
			return fmt.Errorf("invalid escape %q, it is either \\ or `", directive.Value)
		}
	case "syntax":
		if !isOurSyntax(directive.Value) {
			f.warn(directive.Location[0].Start.Line,
				fmt.Sprintf("syntax %q is not used: lbuild reads the docker/dockerfile:1 language itself", directive.Value))
		}
	case "check":
		rules, _, _ := strings.Cut(directive.Value, " ")
		config, err := linter.ParseLintOptions(rules)
		if err != nil {
			return fmt.Errorf("check directive: %w", err)
		}
		d.check = config
	}
	return nil
}

// isOurSyntax says whether image is a version of the frontend whose language the parser packages read.
func isOurSyntax(image string) bool {
	image = strings.TrimPrefix(image, "docker.io/")
	name, tag, tagged := strings.Cut(image, ":")
	if name, _, ok := strings.Cut(image, "@"); ok && name == "docker/dockerfile" {
		return true
	}
	if name != "docker/dockerfile" {
		return false
	}
	return !tagged || tag == "latest" || tag == "labs" || tag == "1" || strings.HasPrefix(tag, "1.") ||
		strings.HasPrefix(tag, "1-") || strings.HasPrefix(tag, "1@")
}
