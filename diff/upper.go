package diff

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"
)

// Whiteouts says how a directory that hides its lower content is told.
type Whiteouts uint8

const (
	// Opaque sets Change.Opaque on the directory, at a cost that does not grow with what is hidden.
	Opaque Whiteouts = iota
	// Explicit gives one Delete for each hidden name instead, which costs reading the hidden directories.
	Explicit
)

// UpperOptions says what Upper compares. Its zero value with Upper set describes a plain directory tree.
type UpperOptions struct {
	// Upper is the upper directory of the overlay mount, or the root of a plain tree.
	Upper string
	// Lower are the lower directories, topmost first, as in the mount option. With none, everything is an addition.
	Lower []string
	// UserXattr says that the mount has the option userxattr: overlay's marks are in user.overlay. instead of
	// trusted.overlay., in all the directories.
	UserXattr bool
	// Whiteouts is how hidden content is told. Default: Opaque.
	Whiteouts Whiteouts
	// Epoch makes modification times that are later than it compare equal, for layers that clamp them to it.
	// Default: they compare as they are, in whole seconds.
	Epoch *time.Time
	// Warn is told what a layer cannot hold, in path order, during the walk. Default: nobody is.
	Warn func(Warning)
	// Stats is counted up during the walk. Default: nothing is counted.
	Stats *Stats
}

// Stats counts what a walk left out.
type Stats struct {
	// Unchanged is the number of files that the upper directory holds just as the lower ones do.
	Unchanged int
	// UnchangedBytes is the sum of their sizes.
	UnchangedBytes int64
}

// WarningKind says why a Warning was given.
type WarningKind uint8

const (
	// Socket is a socket: it was left out, because layers hold none.
	Socket WarningKind = iota + 1
	// Sparse is a file with holes, which take space in a layer.
	Sparse
)

// Warning tells of a path that a layer cannot hold as it is.
type Warning struct {
	Kind WarningKind
	Path string
	// Size is the length of a sparse file, Allocated what it takes on disk.
	Size, Allocated int64
}

// String is the warning as a sentence without a full stop.
func (w Warning) String() string {
	switch w.Kind {
	case Socket:
		return quote(w.Path) + " is a socket and was left out"
	case Sparse:
		return fmt.Sprintf("%s is sparse: its %d bytes, of which %d are on disk, are all in the layer",
			quote(w.Path), w.Size, w.Allocated)
	}
	return quote(w.Path)
}

func quote(path string) string { return strconv.Quote(path) }

// Upper walks the upper directory of an overlay mount and returns what it changes in the lower ones.
//
// Changes come in path order: a directory before its content, names in byte order, deletions before the other
// entries of the same directory, and no path twice. A directory that did not change itself comes only if something
// below it does. The first error ends the walk; it is a *PathError where it belongs to a path. A walk holds few
// descriptors and the names of the directories on its way, whatever the size of the tree, and never lists a lower
// directory except to tell Explicit whiteouts or what was renamed.
//
// The directories must not change during the walk. Each range over the result walks again.
func Upper(ctx context.Context, opts UpperOptions) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w, err := newWalker(opts, yield)
		if err == nil {
			err = errors.Join(w.root(ctx), w.close())
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(Change{}, err)
		}
	}
}
