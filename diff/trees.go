package diff

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"
)

// ErrWhiteout is the cause when a tree holds overlayfs's whiteout, a character device 0/0: in a layer it would delete
// its own name. An upper directory was taken for a plain tree.
var ErrWhiteout = errors.New("a whiteout of overlayfs, not a file")

// TreesOptions says what Trees compares.
type TreesOptions struct {
	// Old is the root of the tree to start from. Default: an empty tree, so that everything is an addition.
	Old string
	// New is the root of the tree to end with.
	New string
	// Epoch is as in UpperOptions.
	Epoch *time.Time
	// Warn is as in UpperOptions.
	Warn func(Warning)
}

// Trees compares two directory trees, on whatever file systems, and returns what makes the old one the new one.
//
// Order, errors and what is kept of an entry are as with Upper; no Change is Opaque. Both trees are listed, and files that
// look the same are compared byte by byte. The names of one file are told together: where one of them is new, or was a
// name of another file, all of them are told. As with Upper, a new time of the root alone is no change.
//
// The walk is its own, because continuity's takes files of the same size and time for the same, sees no extended
// attribute but capabilities, leaves the root out, and does not compare which names are links to each other.
func Trees(ctx context.Context, opts TreesOptions) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w, err := newTreesWalker(opts, yield)
		if err == nil {
			err = errors.Join(w.root(ctx), w.close())
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(Change{}, err)
		}
	}
}

// treesWalker is one walk of two trees side by side: merged has the new tree, base the old one.
type treesWalker struct {
	*walker
	groups groups
}

// noMarks begins no attribute's name: in a plain tree all attributes are the files' own.
const noMarks = "/"

func newTreesWalker(opts TreesOptions, yield func(Change, error) bool) (*treesWalker, error) {
	pair := UpperOptions{Upper: opts.New, Epoch: opts.Epoch, Warn: opts.Warn}
	if opts.Old != "" {
		pair.Lower = []string{opts.Old}
	}
	w, err := newWalker(pair, yield)
	if err != nil {
		return nil, err
	}
	w.overlay.xattrs.prefix = noMarks
	t := &treesWalker{walker: w, groups: groups{next: w.overlay.roots[0].tree, decided: map[inode]bool{}, claimed: map[inode]inode{}}}
	if opts.Old != "" {
		t.groups.prev = w.overlay.roots[1].tree
	}
	return t, nil
}

func (w *treesWalker) root(ctx context.Context) error {
	roots := w.overlay.roots
	n, err := w.overlay.entry(roots[0], ".")
	if err != nil {
		return &PathError{Op: "read", Path: ".", Err: err}
	}
	c, err := w.change(n, ".")
	if err != nil {
		return err
	}
	f := &frame{change: c, merged: roots[:1], base: roots[1:], told: len(roots) > 1}
	if len(f.base) == 0 {
		err = w.tell(f)
	} else {
		err = w.compareRoot(f, n)
	}
	if err != nil {
		return err
	}
	return w.visit(ctx, f)
}

// visit walks the content of a directory: first what is gone, then what is there.
func (w *treesWalker) visit(ctx context.Context, f *frame) (err error) {
	defer func() {
		if closeErr := f.release(); err == nil {
			err = closeErr
		}
	}()
	entries, err := w.list(f, f.merged)
	if err == nil {
		err = w.gone(f, entries)
	}
	if err != nil {
		return err
	}
	for _, name := range names(entries) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(ctx, f, name); err != nil {
			return err
		}
	}
	return nil
}

// gone tells the names that the new tree does not have. A socket counts as none, because layers hold none.
func (w *treesWalker) gone(f *frame, entries []fs.DirEntry) error {
	old, err := w.list(f, f.base)
	if err != nil {
		return err
	}
	for _, e := range old {
		i, there := slices.BinarySearchFunc(entries, e.Name(), func(e fs.DirEntry, name string) int {
			return strings.Compare(e.Name(), name)
		})
		if there && (entries[i].Type() != fs.ModeSocket || e.Type() == fs.ModeSocket) {
			continue
		}
		if err := w.tell(f); err != nil {
			return err
		}
		if err := w.send(Change{Kind: Delete, Path: f.path(e.Name())}); err != nil {
			return err
		}
	}
	return nil
}

// entry walks one name of a directory.
func (w *treesWalker) entry(ctx context.Context, f *frame, name string) error {
	path := f.path(name)
	n, base, err := w.both(f, name)
	if err == nil && n.whiteout {
		err = ErrWhiteout
	}
	if err != nil {
		return &PathError{Op: "read", Path: path, Err: vanished(err)}
	}
	c, ok, err := w.begin(n, base, path)
	if err != nil || !ok {
		return err
	}
	if n.isDir() {
		return w.directory(ctx, f, c, n, base)
	}
	return w.file(ctx, f, c, n, base)
}

// both reads what a name is in the new tree, which has it, and in the old one, which may not.
func (w *treesWalker) both(f *frame, name string) (n, base *node, err error) {
	n, err = w.plain(f.merged[0], name)
	if err == nil && n == nil {
		err = ErrChanged
	}
	if err != nil || len(f.base) == 0 {
		return n, nil, err
	}
	base, err = w.plain(f.base[0], name)
	return n, base, err
}

// plain reads one entry of one tree; nil where there is none.
func (w *treesWalker) plain(in level, name string) (*node, error) {
	n, err := w.overlay.entry(in, name)
	if err != nil || n == nil {
		return nil, err
	}
	switch at := in.child(name); {
	case n.isDir():
		n.dirs = stack{{at, in.depth}}
	case n.isRegular():
		n.data = &data{tree: at.tree, rel: at.rel, st: n.st, size: n.st.Size}
	}
	return n, nil
}

// directory tells a directory if it changed itself, and walks it.
func (w *treesWalker) directory(ctx context.Context, f *frame, c Change, n, base *node) error {
	sub := &frame{parent: f, change: c, merged: n.dirs}
	if base != nil && base.isDir() {
		sub.base = base.dirs
	}
	if sub.base == nil || !w.sameMetadata(n, base) {
		if err := w.tell(sub); err != nil {
			return err
		}
	}
	if err := f.release(); err != nil {
		return err
	}
	return w.visit(ctx, sub)
}

// file tells an entry that is not a directory, if it changed or is a name of a file that did.
func (w *treesWalker) file(ctx context.Context, f *frame, c Change, n, base *node) error {
	same, err := w.kept(ctx, c, n, base)
	if err != nil || same {
		return err
	}
	w.links.join(&c, n)
	if err := w.tell(f); err != nil {
		return err
	}
	if c.data != nil && c.Hardlink == "" {
		if err := w.warnSparse(c); err != nil {
			return err
		}
	}
	return w.send(c)
}
