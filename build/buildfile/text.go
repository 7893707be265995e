package buildfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// What a Buildfile may hold. The parser recurses into nested ONBUILD and nested variables, so its depth needs a bound.
const (
	maxSize      = 4 << 20 // bytes
	maxLine      = 65535   // bytes, the parser's own limit
	maxVariables = 100_000 // occurrences of ${
)

// load refuses text that the parser cannot be trusted with and keeps the lines for excerpts.
func (f *File) load(text []byte) error {
	if len(text) > maxSize {
		return &Error{File: f.Name, Err: fmt.Errorf("a Buildfile of %d bytes is too large, %d are allowed", len(text), maxSize)}
	}
	if bytes.Count(text, []byte("${")) > maxVariables {
		return &Error{File: f.Name, Err: fmt.Errorf("more than %d variables", maxVariables)}
	}
	f.lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range f.lines {
		f.lines[i] = strings.TrimSuffix(line, "\r")
		if err := checkLine(line); err != nil {
			return f.at(i+1, span{}, err)
		}
	}
	return nil
}

// checkLine lets any bytes pass in a comment: old files have Latin-1 names there.
func checkLine(line string) error {
	switch {
	case len(line) > maxLine:
		return fmt.Errorf("line of %d bytes is too long, %d are allowed", len(line), maxLine)
	case strings.ContainsRune(line, 0):
		return errors.New("unexpected NUL byte: a Buildfile is UTF-8 text")
	case !utf8.ValidString(line) && !isComment(line):
		return errors.New("invalid UTF-8")
	}
	return nil
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
