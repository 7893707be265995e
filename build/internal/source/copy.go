package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// CopyOptions says what Copy changes on the way. The zero value changes nothing.
type CopyOptions struct {
	Owner  *Owner // of all that is copied, and of directories made for it; nil keeps owners, and 0:0
	Mode   string // of --chmod, octal or symbolic, for all but links; "" keeps modes
	Unpack bool   // as ADD: a file that is a tar archive, plain or compressed, is unpacked at dest

	Epoch *time.Time // no time of what is copied, nor of a directory that it changes, is later; nil leaves times alone
	Exact bool       // with Epoch: what is copied has that very time, but for what is unpacked

	// Replace lets files below dest take the place of directories, with all that is in them, and directories that of
	// files and links. False makes that an error, as docker build does.
	Replace bool
}

// Copy puts what was selected at dest, a path inside the tree at root, as docker build does.
//
// The contents of a directory go into dest, which is made if need be. A file becomes dest, or goes into it when dest is
// a directory or ends in a slash, as it must for several files. Links on the way to dest are followed inside root.
// Directories merge; files replace files; one never replaces the other, unless opts says so. Modes, times, hard links
// within one source and extended attributes are kept. A socket becomes an empty file, as it does in docker. An archive
// keeps its modes, and without Owner its owners.
//
// After an error root is in an undefined state.
func Copy(ctx context.Context, root string, sel *Selection, dest string, opts CopyOptions) error {
	mode, err := parseMode(opts.Mode)
	if err != nil {
		return err
	}
	r, err := openRoot(root)
	if err != nil {
		return err
	}
	c := &copier{root: r, dir: root, opts: opts, mode: mode}
	return errors.Join(c.all(ctx, sel, dest), r.Close())
}

// copier copies one selection.
type copier struct {
	root    *root
	dir     string // path of root
	opts    CopyOptions
	mode    chmod
	noClone atomic.Bool // the file systems cannot share blocks
	touched []string    // canonical paths of directories that got an entry and have no time of their own
	placed  *Placed     // what Place leaves out; nil for Copy
}

func (c *copier) all(ctx context.Context, sel *Selection, dest string) error {
	archives, err := c.archives(sel)
	if err != nil {
		return err
	}
	if err := c.checkSeveral(sel, dest, archives); err != nil {
		return err
	}
	for i := range sel.items {
		it := &sel.items[i]
		if archives[i] {
			err = c.unpack(ctx, it, dest)
		} else {
			err = c.item(ctx, it, dest)
		}
		if err != nil {
			return fmt.Errorf("copy %q: %w", it.label(), err)
		}
	}
	return c.clampTouched()
}

// label names the item in errors.
func (it *item) label() string {
	if it.tree == nil {
		return it.name
	}
	return it.path
}

// archives tells which items are to be unpacked.
func (c *copier) archives(sel *Selection) ([]bool, error) {
	found := make([]bool, len(sel.items))
	if !c.opts.Unpack {
		return found, nil
	}
	for i := range sel.items {
		var err error
		if found[i], err = sel.items[i].isArchive(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// checkSeveral refuses several files for a dest that is no directory: the last one would replace the others.
func (c *copier) checkSeveral(sel *Selection, dest string, archives []bool) error {
	files := false
	for i := range sel.items {
		files = files || !archives[i] && !sel.items[i].node.meta.isDir()
	}
	if len(sel.items) < 2 || !files || namesDir(dest) {
		return nil
	}
	at, err := c.root.resolve(dest)
	if err == nil && at.meta.isDir() {
		return nil
	}
	return fmt.Errorf("destination %q of several sources must be a directory and end with a slash", dest)
}

// namesDir reports whether dest can only be a directory by the way it is written.
func namesDir(dest string) bool {
	return dest == "." || strings.HasSuffix(dest, "/") || strings.HasSuffix(dest, "/.")
}

// item copies one file or the contents of one directory.
func (c *copier) item(ctx context.Context, it *item, dest string) error {
	at, err := c.prepare(it, dest)
	if err != nil {
		return err
	}
	if c.placed != nil {
		c.placed.at = at
	}
	if it.node.meta.isDir() {
		return c.contents(ctx, it, at)
	}
	c.touched = append(c.touched, path.Dir(at))
	parent, err := c.root.open(path.Dir(at), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	d := &target{tree: it.tree, from: path.Dir(it.path), to: parent}
	n := &it.node
	n.name = path.Base(it.path)
	if c.placed != nil {
		err = d.place(path.Dir(at))
	}
	switch {
	case err != nil:
	case it.tree == nil:
		err = c.document(parent, path.Base(at), it)
	default:
		err = c.leaf(ctx, d, n, path.Base(at))
	}
	return errors.Join(err, d.close())
}

// prepare gives the canonical path that the item gets, and makes the directories it needs.
func (c *copier) prepare(it *item, dest string) (string, error) {
	dir := dest
	if !namesDir(dest) {
		dir = path.Dir(path.Join("/", dest))
	}
	if err := c.mkdirAll(dir); err != nil {
		return "", err
	}
	at, err := c.root.resolve(dest)
	switch {
	case err != nil:
		return "", err
	case it.node.meta.isDir() && !at.found:
		return at.path, c.mkdirAll(dest)
	case it.node.meta.isDir() && !at.meta.isDir():
		return "", fmt.Errorf("the contents of a directory cannot go into %q, which is a file", "/"+at.path)
	case !it.node.meta.isDir() && at.meta.isDir():
		return path.Join(at.path, it.name), nil
	}
	return at.path, nil
}

// mkdirAll makes a directory and its parents, if they are not there.
func (c *copier) mkdirAll(name string) error {
	at, err := c.root.resolve(name)
	if err != nil || at.meta.isDir() {
		return err
	}
	if at.found {
		return fmt.Errorf("%q is not a directory", "/"+at.path)
	}
	dir, err := c.root.open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	done := "."
	for part := range strings.SplitSeq(at.path, "/") {
		below, made, err := c.mkdir(dir, part)
		if made {
			c.touched = append(c.touched, done, path.Join(done, part))
		}
		done = path.Join(done, part)
		if err = errors.Join(err, dir.Close()); err != nil {
			return err
		}
		dir = below
	}
	return dir.Close()
}

// mkdir opens a directory in dir, and makes it if it is not there.
func (c *copier) mkdir(dir *os.File, name string) (d *os.File, made bool, err error) {
	d, made, err = makeDirAt(dir, name)
	if err != nil {
		return nil, made, fmt.Errorf("make directory %q: %w", name, err)
	}
	if !made {
		return d, false, nil
	}
	owner := Owner{}
	if c.opts.Owner != nil {
		owner = *c.opts.Owner
	}
	err = unix.Fchown(int(d.Fd()), owner.UID, owner.GID)
	if err == nil {
		err = unix.Fchmod(int(d.Fd()), c.mode.parents())
	}
	if err != nil {
		return nil, true, errors.Join(fmt.Errorf("make directory %q: %w", name, err), d.Close())
	}
	return d, true, nil
}

// contents copies what lies in a directory into the directory at a canonical path. The latter keeps its owner
// and mode; as in docker it gets the times of the former.
func (c *copier) contents(ctx context.Context, it *item, at string) error {
	to, err := c.root.open(at, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	w := &walker{copier: c, group: g, twins: map[inode]string{}, root: at}
	top := &target{tree: it.tree, from: it.path, to: to, meta: it.node.meta, merged: true}
	top.users.Store(1)
	if c.placed != nil {
		err = top.place(at)
	}
	if err == nil {
		err = w.walk(ctx, top, "", it.node.kids)
	}
	err = errors.Join(err, w.release(top))
	// What a file met is the cause; the walk only saw that it was to stop.
	return cmp.Or(g.Wait(), err)
}
