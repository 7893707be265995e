package diff

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// groups decides which files with several names are told. A file is left out only if all its names were names of one
// file before, and no other file is left out that was the same one: then what is left as it was has the right links.
type groups struct {
	prev, next *tree
	names      map[inode][]string // of the new tree; nil until they are needed
	decided    map[inode]bool     // by file of the new tree: it is left out
	claimed    map[inode]inode    // file of the old tree to the one of the new tree that it stays
}

// kept reports whether an entry is the same in both trees, and so are the links to it.
func (w *treesWalker) kept(ctx context.Context, c Change, n, base *node) (bool, error) {
	id := inodeOf(n)
	if n.st.Nlink > 1 {
		if kept, known := w.groups.decided[id]; known {
			return kept, nil
		}
	}
	kept, err := w.same(ctx, c, n, base)
	if kept && err == nil && n.st.Nlink > 1 {
		kept, err = w.groups.sameNames(ctx, id, inodeOf(base))
	}
	if kept && err == nil && base.st.Nlink > 1 {
		kept = w.groups.claim(inodeOf(base), id)
	}
	if n.st.Nlink > 1 {
		w.groups.decided[id] = kept
	}
	return kept, err
}

// same compares an entry without its other names. The trees may share a file.
func (w *treesWalker) same(ctx context.Context, c Change, n, base *node) (bool, error) {
	if base != nil && inodeOf(n) == inodeOf(base) {
		return true, nil
	}
	return w.walker.same(ctx, c, n, base)
}

func inodeOf(n *node) inode { return inode{uint64(n.st.Dev), n.st.Ino} }

// claim reports whether no other file of the new tree is left out as the same old one.
func (g *groups) claim(old, id inode) bool {
	if owner, taken := g.claimed[old]; taken && owner != id {
		return false
	}
	g.claimed[old] = id
	return true
}

// sameNames reports whether all names that a file has in the new tree were names of the old file.
func (g *groups) sameNames(ctx context.Context, id, old inode) (bool, error) {
	if g.names == nil {
		g.names = map[inode][]string{}
		if err := g.collect(ctx, &dir{tree: g.next, rel: "."}); err != nil {
			return false, err
		}
	}
	for _, path := range g.names[id] {
		was, err := g.prev.inode(path)
		if err != nil {
			return false, &PathError{Op: "read", Path: path, Err: err}
		}
		if was != old {
			return false, nil
		}
	}
	return true, nil
}

// collect notes the names of files that have several. It happens once, and only if there is such a file that may be
// left out.
func (g *groups) collect(ctx context.Context, d *dir) error {
	below, err := g.collectFrom(d)
	if err = errors.Join(err, d.release(), ctx.Err()); err != nil {
		return err
	}
	for _, name := range below {
		if err := g.collect(ctx, d.child(name)); err != nil {
			return err
		}
	}
	return nil
}

// collectFrom does so for one directory, and returns the names of those in it.
func (g *groups) collectFrom(d *dir) (below []string, err error) {
	entries, err := d.list()
	if err != nil {
		return nil, &PathError{Op: "list", Path: d.rel, Err: vanished(err)}
	}
	for _, e := range entries {
		if e.IsDir() {
			below = append(below, e.Name())
			continue
		}
		st, err := d.stat(e.Name())
		path := d.child(e.Name()).rel
		if err != nil {
			return nil, &PathError{Op: "read", Path: path, Err: vanished(err)}
		}
		if id := (inode{uint64(st.Dev), st.Ino}); st.Nlink > 1 {
			g.names[id] = append(g.names[id], path)
		}
	}
	return below, nil
}

// inode tells which file a path names; the zero inode is none.
func (t *tree) inode(rel string) (id inode, err error) {
	fd, err := t.open(rel, unix.O_PATH)
	if errors.Is(vanished(err), ErrChanged) {
		return inode{}, nil
	}
	if err != nil {
		return inode{}, err
	}
	var st unix.Stat_t
	err = ignoringEINTR(func() error { return unix.Fstat(fd, &st) })
	return inode{uint64(st.Dev), st.Ino}, errors.Join(err, unix.Close(fd))
}
