// Package buildfile turns the text of a Buildfile into instructions that know their place, and problems into errors
// that show it: file, line, excerpt and a caret. The language is BuildKit's, read by BuildKit's own parser packages.
package buildfile

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// File is a parsed Buildfile. Expanding variables changes its commands in place, so a File serves one build.
type File struct {
	Name     string                    // as typed after -f; "<stdin>" for "-"
	Stages   []instructions.Stage      // in file order, at least one
	Args     []instructions.ArgCommand // those before the first FROM
	Warnings []Warning                 // in line order

	lines  []string // without line endings
	escape rune     // of the escape directive, a backslash without one
}

// Warning is something that builds but is worth a look. Line counts from 1.
type Warning struct {
	Line int
	Text string
}

// Parse reads a Buildfile. Bad input, also what lbuild does not support yet, is an *Error.
func Parse(name string, text []byte) (*File, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	f := &File{Name: name, escape: parser.DefaultEscapeToken}
	if err := f.load(text); err != nil {
		return nil, err
	}
	if f.isBlank() {
		return nil, &Error{File: name, Err: errors.New("the file has no instructions")}
	}
	directives, err := f.directives()
	if err != nil {
		return nil, err
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, f.parserError(err)
	}
	f.escape = tree.EscapeToken
	r := &reader{file: f, lint: newLint(f, directives.check)}
	r.lint.continuations(tree.Warnings)
	if err := r.read(tree.AST.Children); err != nil {
		return nil, err
	}
	slices.SortStableFunc(f.Warnings, func(a, b Warning) int { return a.Line - b.Line })
	if err := r.lint.verdict(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) warn(line int, text string) {
	f.Warnings = append(f.Warnings, Warning{Line: line, Text: strings.TrimSpace(text)})
}
