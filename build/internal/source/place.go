package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbuild/lbuild/diff"
)

// Placed is a selection that was put into a root without the content of its files, for a layer alone.
type Placed struct {
	copier *copier
	item   *item
	at     string // canonical path of the item in the root

	mu    sync.Mutex
	holes []diff.Warning
}

// CanPlace reports whether Place can take the selection: one file, or the contents of one directory, from a tree.
// Several sources could meet at one path, and an archive brings entries of its own.
func (s *Selection) CanPlace(opts CopyOptions) bool {
	return len(s.items) == 1 && s.items[0].tree != nil && (s.items[0].node.meta.isDir() || !opts.Unpack)
}

// Place does what Copy does, but leaves out files that it need not write to know what changes: those that take no other's
// place, have one name and no attributes. Where a directory was there before, an empty file marks their place. CanPlace
// must be true, and a selection is placed once.
func Place(ctx context.Context, root string, sel *Selection, dest string, opts CopyOptions) (*Placed, error) {
	p := &Placed{item: &sel.items[0]}
	mode, err := parseMode(opts.Mode)
	if err != nil {
		return nil, err
	}
	r, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	p.copier = &copier{root: r, dir: root, opts: opts, mode: mode, placed: p}
	err = errors.Join(p.copier.all(ctx, sel, dest), r.Close())
	return p, err
}

// Changes completes what the walk over the root found: with the files that were left out, and with what is known of
// those that have an empty file in their place. Each file is read once, from where it was selected, and only if it is
// what it was then; Digest needs not read it again.
func (p *Placed) Changes(walk iter.Seq2[diff.Change, error]) iter.Seq2[diff.Change, error] {
	return func(yield func(diff.Change, error) bool) {
		next, stop := iter.Pull(p.files())
		defer stop()
		f, ok := next()
		for c, err := range walk {
			for ; ok && err == nil && before(f.to, c.Path); f, ok = next() {
				if !yield(p.change(f), nil) {
					return
				}
			}
			if ok && err == nil && f.to == c.Path {
				c = p.change(f)
				f, ok = next()
			}
			if !yield(c, err) {
				return
			}
		}
		for ; ok; f, ok = next() {
			if !yield(p.change(f), nil) {
				return
			}
		}
	}
}

// Warnings are the sparse files among those that were left out, whose holes take space in a layer. They are in path order.
func (p *Placed) Warnings() []diff.Warning {
	return slices.SortedFunc(slices.Values(p.holes), func(a, b diff.Warning) int {
		if before(a.Path, b.Path) {
			return -1
		}
		return 1
	})
}

// before orders paths as a walk does: a directory before what lies in it, and that before the next name.
func before(a, b string) bool {
	if b == "." {
		return false
	}
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return true
		case b[i] == '/':
			return false
		default:
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}

// placedFile is a file that was left out.
type placedFile struct {
	to   string // path in the root
	from string // canonical path in the tree
	node *node
}

// files gives them in path order.
func (p *Placed) files() iter.Seq[placedFile] {
	return func(yield func(placedFile) bool) {
		if n := &p.item.node; !n.meta.isDir() {
			if n.later {
				yield(placedFile{p.at, p.item.path, n})
			}
			return
		}
		filesBelow(p.at, p.item.path, p.item.node.kids, yield)
	}
}

func filesBelow(to, from string, kids []node, yield func(placedFile) bool) bool {
	for i := range kids {
		k := &kids[i]
		if len(k.kids) > 0 && !filesBelow(path.Join(to, k.name), path.Join(from, k.name), k.kids, yield) {
			return false
		}
		if k.later && !yield(placedFile{path.Join(to, k.name), path.Join(from, k.name), k}) {
			return false
		}
	}
	return true
}

// change is the file as Copy would have made it.
func (p *Placed) change(f placedFile) diff.Change {
	m, owner, mtime := &f.node.meta, p.copier.owner(&f.node.meta), p.copier.mtime(&f.node.meta)
	c := diff.Change{
		Kind: diff.Add, Path: f.to, Mode: fileMode(p.copier.mode.apply(m.mode)), UID: owner.UID, GID: owner.GID,
		Size: m.size, ModTime: time.Unix(mtime.Unix()),
	}
	return c.WithContent(func() (io.ReadCloser, error) { return p.open(f) })
}

func (p *Placed) open(f placedFile) (io.ReadCloser, error) {
	t := p.item.tree
	c, err := t.root.openContent(f.from, &f.node.meta)
	if err != nil {
		return nil, vanished(f.from, err)
	}
	if f.node.known {
		return c, nil
	}
	s := t.scratch()
	s.hash.Reset()
	fieldXattrs(s.hash, nil)
	return &summing{content: c, tree: t, node: f.node, scratch: s}, nil
}

// vanished names what happened to a file that was there when it was selected.
func vanished(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%q %w: %w", name, ErrChanged, err)
	}
	return err
}

// summing is content that keeps its sum when it was read to its end.
type summing struct {
	*content
	tree    *Tree
	node    *node
	scratch *scratch
}

func (s *summing) Read(p []byte) (int, error) {
	n, err := s.content.Read(p)
	s.scratch.hash.Write(p[:n]) //nolint:errcheck // a hash never fails
	if errors.Is(err, io.EOF) {
		s.tree.found(s.name, s.node, s.scratch.hash)
	}
	return n, err
}

func (s *summing) Close() error {
	if s.scratch != nil {
		s.tree.idle.Put(s.scratch)
		s.scratch = nil
	}
	return s.content.Close()
}

// leave tells whether a file can be left out, and makes an empty one where the directory needs it.
func (p *Placed) leave(d *target, name string, k *node) (bool, error) {
	if !k.meta.isRegular() || k.meta.isTwin() || d.acl {
		return false, nil
	}
	// Should another file take its place, it has another change time when its content is read.
	attrs, err := xattrsOf(procPath(d.source)+"/"+k.name, k.name)
	if err != nil || len(attrs) > 0 {
		return false, err
	}
	if !d.made {
		err := unix.Mknodat(int(d.to.Fd()), name, unix.S_IFREG|0o600, 0)
		if errors.Is(err, unix.EEXIST) {
			return false, nil // its bytes are compared with those that it replaces
		}
		if err != nil {
			return false, err
		}
	}
	k.later = true
	return true, p.noteHoles(path.Join(d.from, k.name), path.Join(d.at, name), d.tree, &k.meta)
}

// sparseSlack is how much a file may lack on disk before it is worth a warning, as in a walk.
const sparseSlack = 1 << 20 // bytes

// noteHoles keeps a warning for a file with holes.
func (p *Placed) noteHoles(from, to string, t *Tree, m *meta) error {
	if m.size <= sparseSlack {
		return nil
	}
	f, err := t.root.openRegular(from, m)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	const block = 512 // bytes, whatever the file system's own is
	onDisk := st.Blocks * block
	if m.size-onDisk <= sparseSlack {
		return nil
	}
	// What takes little space without a hole is compressed by the file system.
	hole, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if err != nil || hole >= m.size {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holes = append(p.holes, diff.Warning{Kind: diff.Sparse, Path: to, Size: m.size, Allocated: onDisk})
	return nil
}

// place makes a target fit to leave files out of.
func (d *target) place(at string) (err error) {
	d.at = at
	_, err = unix.Fgetxattr(int(d.to.Fd()), "system.posix_acl_default", nil)
	d.acl = err == nil // files inherit from it
	d.source, err = d.tree.root.open(d.from, unix.O_RDONLY|unix.O_DIRECTORY)
	return err
}
