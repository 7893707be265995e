// Package source holds the trees that COPY and ADD read.
//
// A Tree is a directory: the build context, a named context, or a mounted snapshot. Select finds what the sources of
// one instruction name, a Selection knows its digest, and Copy puts it into a root as docker build does.
//
// Both sides are hostile: every path is resolved inside its own root, as after a chroot, whatever links lie there.
package source

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/moby/patternmatcher"
)

var (
	// ErrNotFound is wrapped by the error of a source that names nothing in its tree.
	ErrNotFound = errors.New("not found")
	// ErrOutside is wrapped by the error of a source that leads out of its tree, by its name or through a link.
	ErrOutside = errors.New("leads outside the tree that it is copied from")
	// ErrChanged is wrapped by the error of a file that changed after it was selected.
	ErrChanged = errors.New("changed while it was being read")
)

// Error is the error of one source of a COPY or ADD.
type Error struct {
	Source string // as typed
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("%q %s", e.Source, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Options says how a tree is read. The zero value reads all of it, with the owners it has.
type Options struct {
	Ignore    []string     // patterns of an ignore file, as ReadIgnore gives them; nil: nothing is left out
	RootOwned bool         // for contexts: every entry counts as owned by 0:0, and links that leave it are errors
	Digests   *DigestCache // digests of unchanged files, shared between trees; nil: every file is read
}

// Tree is a directory that COPY and ADD read. Its methods may be called at the same time.
type Tree struct {
	root *root
	dir  string // absolute
	opts Options
	idle sync.Pool // of *scratch
}

// Open opens the tree at dir. The caller closes it, after the last use of what was selected from it.
func Open(dir string, opts Options) (*Tree, error) {
	if _, err := patternmatcher.New(opts.Ignore); err != nil {
		return nil, fmt.Errorf("ignore patterns: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r, err := openRoot(abs)
	if err != nil {
		return nil, err
	}
	return &Tree{root: r, dir: abs, opts: opts}, nil
}

// Close ends the use of the tree and of every Selection from it.
func (t *Tree) Close() error { return t.root.Close() }

// owned is m as this tree counts it.
func (t *Tree) owned(m meta) meta {
	if t.opts.RootOwned {
		m.uid, m.gid = 0, 0
	}
	return m
}
