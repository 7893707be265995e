package diff

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// stack is a directory as an overlay mount merges it: the same directory in several trees, topmost first.
type stack []level

// level is a directory of one tree, and the tree's place among those of the mount.
type level struct {
	*dir
	depth int // 0 is the upper directory
}

// node is what a name means in a stack: the entry that is seen, where its bytes are, and what it merges.
type node struct {
	in    level  // the directory that holds the entry
	name  string // its name there, which is another one after a redirect
	st    unix.Stat_t
	attrs attrs
	dirs  stack // of a directory: itself and those that it merges
	data  *data // of a regular file

	whiteout bool // the entry deletes its name
}

func (n *node) isDir() bool     { return n.st.Mode&unix.S_IFMT == unix.S_IFDIR }
func (n *node) isRegular() bool { return n.st.Mode&unix.S_IFMT == unix.S_IFREG }

// overlay looks names up as overlayfs does, in trees that are not mounted.
type overlay struct {
	roots  stack
	xattrs *xattrReader
}

// lookup is the state of one lookup on its way down the trees.
type lookup struct {
	// target is a name below each directory of the stack, or a path from the roots after an absolute redirect.
	target   string
	isDir    bool // a directory was seen: only directories can be merged into it
	metacopy bool // a file without its bytes was seen: only a regular file can hold them
	stop     bool // nothing below shows through
}

// lookup finds a name in a stack. It returns nil where no tree has it, or one deletes it.
func (o *overlay) lookup(s stack, name string) (*node, error) {
	l := &lookup{target: name}
	var seen *node
	for i := 0; i < len(s) && !l.stop; i++ {
		absolute := l.target[0] == '/'
		n, err := o.probe(s[i], l)
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue
		}
		seen = merge(seen, n)
		if !absolute && l.target[0] == '/' {
			// From here on the path leads from the roots of the trees below this one.
			i, s = s[i].depth, o.roots
		}
	}
	if seen != nil && seen.isRegular() && seen.data == nil {
		return nil, fmt.Errorf("%w: metacopy of a file that no lower directory has", ErrMark)
	}
	return seen, nil
}

// merge adds what a lower tree has to what the trees above it have.
func merge(seen, n *node) *node {
	switch {
	case seen == nil:
		return n
	case seen.isDir():
		seen.dirs = append(seen.dirs, n.dirs...)
	case n.data != nil:
		seen.data = n.data
		seen.data.size = seen.st.Size
	}
	return seen
}

// probe looks for the target in one tree.
func (o *overlay) probe(in level, l *lookup) (*node, error) {
	if l.target[0] != '/' {
		return o.step(in, l, l.target, "")
	}
	at := level{&dir{tree: in.tree, rel: "."}, in.depth}
	rest := l.target
	for {
		name, after, more := strings.Cut(rest[1:], "/")
		if more {
			after = "/" + after
		}
		n, err := o.step(at, l, name, after)
		err = errors.Join(err, at.release())
		if err != nil || n == nil || !more {
			return n, err
		}
		at, rest = level{at.child(name), at.depth}, after
	}
}

// step looks at one name in one directory. The target ends in name+after, and the name is the last one without after.
// A redirect rewrites the target for the trees below.
func (o *overlay) step(in level, l *lookup, name, after string) (*node, error) {
	n, err := o.entry(in, name)
	if err != nil || n == nil {
		return nil, err
	}
	last := after == ""
	switch {
	case n.whiteout, n.isDir() && last && l.metacopy, !n.isDir() && (l.isDir || !last):
		l.stop = true
		return nil, nil
	case !n.isDir():
		return n, l.file(n)
	}
	if last {
		l.isDir = true
		n.dirs = stack{{in.child(name), in.depth}}
	}
	if n.attrs.marks.opaque == 'y' {
		l.stop = true
		return n, nil
	}
	return n, l.redirect(n.attrs.marks.redirect, name, after)
}

// file notes where the bytes of a file are, or goes on to look for them.
func (l *lookup) file(n *node) error {
	if l.metacopy && !n.isRegular() {
		l.stop = true
		return nil
	}
	if n.isRegular() && n.attrs.marks.metacopy {
		l.metacopy = true
		return l.redirect(n.attrs.marks.redirect, n.name, "")
	}
	l.stop = true
	if n.isRegular() {
		n.data = &data{tree: n.in.tree, rel: n.in.child(n.name).rel, st: n.st, size: n.st.Size}
	}
	return nil
}

// redirect applies the mark of a renamed entry to the target, which ends in name+after.
func (l *lookup) redirect(to, name, after string) error {
	if to == "" {
		return nil
	}
	path, absolute := strings.CutPrefix(to, "/")
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%w: redirect to %q", ErrMark, to)
		}
	}
	switch {
	case absolute:
		l.target, l.stop = to+after, false
	case strings.Contains(path, "/"):
		return fmt.Errorf("%w: redirect to %q", ErrMark, to)
	default:
		l.target = strings.TrimSuffix(l.target, name+after) + to + after
	}
	return nil
}

// entry reads one entry of one tree; nil where there is none.
func (o *overlay) entry(in level, name string) (*node, error) {
	st, err := in.stat(name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n := &node{in: in, name: name, st: st}
	if n.attrs, err = o.xattrs.read(in.dir, name); err != nil {
		return nil, err
	}
	n.whiteout, err = o.isWhiteout(n)
	return n, err
}

// isWhiteout reports whether an entry deletes its name in the trees below. The form that is an attribute counts only
// in a directory that is marked for it.
func (o *overlay) isWhiteout(n *node) (bool, error) {
	if n.st.Mode&unix.S_IFMT == unix.S_IFCHR {
		return n.st.Rdev == 0, nil
	}
	if !n.isRegular() || n.st.Size != 0 || !n.attrs.marks.whiteout {
		return false, nil
	}
	parent, err := o.xattrs.read(n.in.dir, ".")
	return parent.marks.opaque == 'x', err
}
