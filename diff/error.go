package diff

import "errors"

// ErrChanged is the cause when a tree changes while it is read. The reader of such a tree has to start over.
var ErrChanged = errors.New("changed while it was read")

// ErrMark is the cause when an overlay mark has a value that overlayfs would refuse.
var ErrMark = errors.New("invalid overlay mark")

var errNoContent = errors.New("not a regular file")

// PathError is an error that belongs to one path of a tree.
type PathError struct {
	// Op is what was done: "read", "open", …
	Op string
	// Path is relative to the root of the tree, as in Change.
	Path string
	// Err is the cause.
	Err error
}

// Error quotes the path, because it comes from the tree and may hold any byte.
func (e *PathError) Error() string { return e.Op + " " + quote(e.Path) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PathError) Unwrap() error { return e.Err }
