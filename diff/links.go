package diff

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrLinked is the cause when a file changed under a name that the upper directory does not have: on a mount with
// index=on, the other names of a hard-linked lower file change with it, and on one with redirect_dir=on a directory moves
// with some names of such a file. The others can be anywhere below.
var ErrLinked = errors.New("changed under other names too, which only lower directories have")

// inode tells files apart; numbers alone repeat where a tree spans file systems.
type inode struct{ dev, ino uint64 }

// link is a file of which not all names were met yet.
type link struct {
	first string // path of the first name
	left  uint64 // names to come, as far as they are in the tree
	lower bool   // the file is one of a lower directory
}

// links are the files with several names. A file leaves when its last name was met.
type links map[inode]*link

// join makes all but the first name of a file links to the first.
func (l links) join(c *Change, n *node) {
	count := nameCount(n)
	if count <= 1 {
		return
	}
	id := inode{uint64(n.st.Dev), n.st.Ino}
	known := l[id]
	if known == nil {
		l[id] = &link{first: c.Path, left: count - 1, lower: n.in.depth > 0}
		return
	}
	c.Hardlink = known.first
	if known.left--; known.left == 0 {
		delete(l, id)
	}
}

// parted fails if a lower file came with a directory that was moved, and not with all its names: where the others are, and
// whether the mount still shows them, only a search of the lower directories could say.
func (l links) parted() error {
	first := ""
	for _, k := range l {
		if k.lower && (first == "" || k.first < first) {
			first = k.first
		}
	}
	if first == "" {
		return nil
	}
	return &PathError{Op: "read", Path: first, Err: ErrLinked}
}

// nameCount is the number of names that a file has in its tree. On a mount with index=on one more is in the index.
func nameCount(n *node) uint64 {
	count := uint64(n.st.Nlink)
	if n.attrs.marks.nlink != "" && count > 0 {
		count--
	}
	return count
}

// linkedBelow reports whether a file has names that only lower directories have. The mark counts the names that the
// mount shows, as a difference to the links of the upper file (U) or of the lower one (L).
func linkedBelow(n, base *node) (bool, error) {
	mark := n.attrs.marks.nlink
	if mark == "" {
		return false, nil
	}
	change, err := strconv.ParseInt(mark[1:], 10, 32)
	switch {
	case err != nil || mark[0] != 'U' && mark[0] != 'L':
		return false, fmt.Errorf("%w: link count %q", ErrMark, mark)
	case mark[0] == 'U':
		return change+1 > 0, nil
	case base == nil:
		return false, nil
	}
	return int64(base.st.Nlink)+change > int64(nameCount(n)), nil
}
