package diff

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// errStopped ends a walk that nobody ranges over any more.
var errStopped = errors.New("walk stopped")

// walker is one walk of an upper directory.
type walker struct {
	opts    UpperOptions
	overlay overlay
	links   links
	compare comparer
	yield   func(Change, error) bool
}

// frame is a directory on the way from the root to where the walk is.
type frame struct {
	parent *frame
	// change is the directory itself, told when it changed or when the first change below it is.
	change Change
	told   bool
	// merged is the directory as the mount shows it.
	merged stack
	// base is the directory as the lower directories alone show it, nil where they have none.
	base stack
	// all says that nothing of base shows through: the whole content is told.
	all bool
	// marked says that whiteouts may be attributes.
	marked bool
}

func newWalker(opts UpperOptions, yield func(Change, error) bool) (*walker, error) {
	w := &walker{opts: opts, links: links{}, yield: yield}
	w.overlay.xattrs = newXattrReader(opts.UserXattr)
	for i, path := range append([]string{opts.Upper}, opts.Lower...) {
		t, err := openTree(path)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.overlay.roots = append(w.overlay.roots, level{&dir{tree: t, rel: "."}, i})
	}
	return w, nil
}

func (w *walker) close() error {
	var errs []error
	for _, root := range w.overlay.roots {
		errs = append(errs, root.release(), root.tree.close())
	}
	return errors.Join(errs...)
}

// root walks everything.
func (w *walker) root(ctx context.Context) error {
	roots := w.overlay.roots
	n, err := w.overlay.entry(roots[0], ".")
	if err != nil {
		return &PathError{Op: "read", Path: ".", Err: err}
	}
	c, err := w.change(n, ".")
	if err != nil {
		return err
	}
	f := &frame{change: c, merged: roots, base: roots[1:], all: len(roots) == 1, marked: n.attrs.marks.opaque == 'x'}
	f.told = !f.all
	if f.all {
		err = w.tell(f)
	} else {
		err = w.compareRoot(f, n)
	}
	if err != nil {
		return err
	}
	if err := w.visit(ctx, f); err != nil {
		return err
	}
	return w.links.parted()
}

// compareRoot tells the root if it differs from that of the lower directories. Its time does not count: the upper
// directory was made for this mount, and the mount shows that moment as the root's time.
func (w *walker) compareRoot(f *frame, n *node) error {
	base, err := w.overlay.entry(f.base[0], ".")
	if err != nil {
		return &PathError{Op: "read", Path: ".", Err: err}
	}
	base.st.Mtim = n.st.Mtim
	if w.sameMetadata(n, base) {
		return nil
	}
	f.told, f.change.Kind = false, Modify
	return w.tell(f)
}

// tell hands a directory out, after those that it is in.
func (w *walker) tell(f *frame) error {
	if f.told {
		return nil
	}
	if f.parent != nil {
		if err := w.tell(f.parent); err != nil {
			return err
		}
	}
	f.told = true
	return w.send(f.change)
}

func (w *walker) send(c Change) error {
	if !w.yield(c, nil) {
		return errStopped
	}
	return nil
}

// visit walks the content of a directory: first what is deleted, then what is there.
func (w *walker) visit(ctx context.Context, f *frame) (err error) {
	defer func() {
		if closeErr := f.release(); err == nil {
			err = closeErr
		}
	}()
	names, err := w.deletions(f)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(ctx, f, name); err != nil {
			return err
		}
	}
	return nil
}

// release closes the descriptors of a directory while the walk is elsewhere.
func (f *frame) release() error {
	var errs []error
	for _, l := range f.merged {
		errs = append(errs, l.release())
	}
	for _, l := range f.base {
		errs = append(errs, l.release())
	}
	return errors.Join(errs...)
}

// path is that of a name in the directory.
func (f *frame) path(name string) string {
	if f.parent == nil {
		return name
	}
	return f.change.Path + "/" + name
}

// entry walks one name of a directory.
func (w *walker) entry(ctx context.Context, f *frame, name string) error {
	path := f.path(name)
	n, base, err := w.resolve(f, name)
	if err != nil {
		return &PathError{Op: "read", Path: path, Err: vanished(err)}
	}
	if n == nil {
		return nil
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

// begin is the change that an entry makes if it is told. A socket is none, because layers hold none.
func (w *walker) begin(n, base *node, path string) (c Change, ok bool, err error) {
	if n.st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		w.warn(Warning{Kind: Socket, Path: path})
		return c, false, nil
	}
	c, err = w.change(n, path)
	if base != nil {
		c.Kind = Modify
	}
	return c, err == nil, err
}

// resolve finds what a name is in the directory, and what it is without the upper directory.
func (w *walker) resolve(f *frame, name string) (n, base *node, err error) {
	base, err = w.below(f, name)
	if err != nil {
		return nil, nil, err
	}
	if f.all {
		n, err = w.overlay.lookup(f.merged, name)
		if n == nil && err == nil {
			err = w.deleted(f, name)
		}
		return n, base, err
	}
	n, err = w.overlay.step(f.merged[0], &lookup{target: name}, name, "")
	if err != nil {
		return nil, nil, err
	}
	if n == nil {
		return nil, nil, ErrChanged // it was listed, and told from the whiteouts
	}
	if n.attrs.marks.redirect != "" || n.attrs.marks.metacopy {
		n, err = w.overlay.lookup(f.merged, name)
	}
	return n, base, err
}

// deleted fails unless a whiteout is why a name that was listed leads to nothing.
func (w *walker) deleted(f *frame, name string) error {
	for _, l := range f.merged {
		if n, err := w.overlay.entry(l, name); err != nil || n != nil {
			return err
		}
	}
	return ErrChanged
}

// below finds what a name is without the upper directory. A socket counts as nothing, because no layer has it.
func (w *walker) below(f *frame, name string) (*node, error) {
	n, err := w.overlay.lookup(f.base, name)
	if err != nil || n == nil || n.st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return nil, err
	}
	return n, nil
}

// file tells an entry that is not a directory, if it changed.
func (w *walker) file(ctx context.Context, f *frame, c Change, n, base *node) error {
	if !f.all {
		same, err := w.unchanged(ctx, c, n, base)
		if err != nil {
			return err
		}
		if same {
			w.count(c)
			return nil
		}
	}
	below, err := linkedBelow(n, base)
	if below {
		err = ErrLinked
	}
	if err != nil {
		return &PathError{Op: "read", Path: c.Path, Err: err}
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

// directory tells a directory if it changed itself, and walks it.
func (w *walker) directory(ctx context.Context, f *frame, c Change, n, base *node) error {
	sub := &frame{parent: f, change: c, merged: n.dirs, all: true, marked: n.attrs.marks.opaque == 'x'}
	if base != nil && base.isDir() {
		sub.base = base.dirs
	}
	changed := true
	switch {
	case f.all || sub.base == nil:
	case n.attrs.marks.opaque == 'y' || n.attrs.marks.redirect != "" && !sameDirs(n.dirs[1:], base.dirs):
		sub.change.Opaque = w.opts.Whiteouts == Opaque
	default:
		sub.all = false
		sub.merged = slices.Concat(n.dirs[:1], base.dirs)
		changed = !w.sameMetadata(n, base)
	}
	if changed {
		if err := w.tell(sub); err != nil {
			return err
		}
	}
	if err := f.release(); err != nil {
		return err
	}
	return w.visit(ctx, sub)
}

func sameDirs(a, b stack) bool {
	return slices.EqualFunc(a, b, func(a, b level) bool { return a.depth == b.depth && a.rel == b.rel })
}

func (w *walker) count(c Change) {
	if w.opts.Stats == nil {
		return
	}
	w.opts.Stats.Unchanged++
	w.opts.Stats.UnchangedBytes += c.Size
}

func (w *walker) warn(warning Warning) {
	if w.opts.Warn != nil {
		w.opts.Warn(warning)
	}
}

// sparseSlack is how much a file may lack on disk before it is worth a warning.
const sparseSlack = 1 << 20 // bytes

// warnSparse warns of a file with holes. One that takes little space without any is compressed by the file system.
func (w *walker) warnSparse(c Change) error {
	onDisk := c.data.st.Blocks * statBlock
	if w.opts.Warn == nil || c.Size-onDisk <= sparseSlack {
		return nil
	}
	holes, err := c.data.hasHoles(c.Path)
	if holes {
		w.warn(Warning{Kind: Sparse, Path: c.Path, Size: c.Size, Allocated: onDisk})
	}
	return err
}
