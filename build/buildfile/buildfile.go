// Package buildfile turns the text of a Buildfile into instructions that know their place, and problems into errors
// that show it: file, line, excerpt and a caret. The language is BuildKit's, read by BuildKit's own parser packages.
package buildfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// File is a parsed Buildfile. It never changes: one File serves several builds and platforms at once.
type File struct {
	Name     string                    // as typed after -f; "<stdin>" for "-"
	Stages   []instructions.Stage      // in file order, at least one
	Args     []instructions.ArgCommand // those before the first FROM
	Warnings []Warning                 // in line order

	lines  []string // without line endings
	escape rune     // of the escape directive, a backslash without one
	nodes  nodes    // what the commands were parsed from
}

// nodes remembers the syntax of each command, also of triggers. It is safe for use by several goroutines.
type nodes struct {
	mu  sync.Mutex
	all map[instructions.Command]*parser.Node
}

func (n *nodes) add(cmd instructions.Command, node *parser.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[instructions.Command]*parser.Node{}
	}
	n.all[cmd] = node
}

// again parses a command once more, because the parser's own expansion changes the command that it is called on.
func (n *nodes) again(cmd instructions.Command) (instructions.Command, error) {
	n.mu.Lock()
	node := n.all[cmd]
	n.mu.Unlock()
	if node == nil {
		return nil, fmt.Errorf("%s is no command of this file", strings.ToUpper(cmd.Name()))
	}
	return instructions.ParseCommand(node)
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
