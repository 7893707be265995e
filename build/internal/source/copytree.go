package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// target is an open directory that is being filled. It is finished and closed when its last user is done with it.
type target struct {
	tree   *Tree
	from   string   // canonical path of the source directory
	to     *os.File // destination
	meta   meta     // of the source directory
	merged bool     // the destination keeps its owner, mode and attributes
	up     *target  // nil at the top
	users  atomic.Int32

	// What Place needs; not set by Copy.
	source *os.File // the source directory
	at     string   // canonical path in the root
	made   bool     // the directory is new, so nothing can be in the way
	acl    bool     // the directory has attributes for new files
}

// close gives both directories back.
func (d *target) close() error {
	err := d.to.Close()
	if d.source != nil {
		err = errors.Join(err, d.source.Close())
	}
	return err
}

// walker copies the contents of one directory: it makes directories in order, and files at the same time.
type walker struct {
	*copier
	group *errgroup.Group
	twins map[inode]string // paths of copied files with several links, relative to root
	root  string           // canonical path of the destination
}

// walk copies kids into d. Their name in the source is relative to what is copied.
func (w *walker) walk(ctx context.Context, d *target, name string, kids []node) error {
	for i := range kids {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := &kids[i]
		if err := w.entry(ctx, d, path.Join(name, k.name), k); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(ctx context.Context, d *target, name string, k *node) error {
	switch {
	case k.meta.isDir():
		return w.directory(ctx, d, name, k)
	case k.meta.isRegular() && k.meta.links > 1:
		return named(w.twin(ctx, d, name, k), name)
	}
	d.users.Add(1)
	w.group.Go(func() error {
		return errors.Join(named(w.leaf(ctx, d, k, k.name), name), w.release(d))
	})
	return nil
}

// named puts the name of an entry before its error.
func named(err error, name string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q: %w", name, err)
}

func (w *walker) directory(ctx context.Context, d *target, name string, k *node) error {
	to, made, err := makeDirAt(d.to, k.name)
	if isNoDir(err) && w.opts.Replace {
		if err := unix.Unlinkat(int(d.to.Fd()), k.name, 0); err != nil {
			return fmt.Errorf("make room for directory %q: %w", name, err)
		}
		to, made, err = makeDirAt(d.to, k.name)
	}
	if isNoDir(err) {
		return fmt.Errorf("directory %q cannot replace what is no directory", name)
	}
	if err != nil {
		return fmt.Errorf("make directory %q: %w", name, err)
	}
	d.users.Add(1)
	sub := &target{tree: d.tree, from: path.Join(d.from, k.name), to: to, meta: k.meta, up: d, made: made}
	sub.users.Store(1)
	if w.placed != nil {
		err = sub.place(path.Join(d.at, k.name))
	}
	if err == nil {
		err = w.walk(ctx, sub, name, k.kids)
	}
	return errors.Join(err, w.release(sub))
}

// makeDirAt opens a directory, made if need be.
func makeDirAt(dir *os.File, name string) (d *os.File, made bool, err error) {
	err = unix.Mkdirat(int(dir.Fd()), name, 0o700)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, false, err
	}
	made = err == nil
	d, err = openDirAt(dir, name)
	return d, made, err
}

func isNoDir(err error) bool { return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) }

// release ends one use of a directory; the last one finishes it, and with it perhaps the one above.
func (w *walker) release(d *target) error {
	var errs []error
	for ; d != nil && d.users.Add(-1) == 0; d = d.up {
		errs = append(errs, named(w.finish(d), d.from), d.close())
	}
	return errors.Join(errs...)
}

// finish gives a filled directory its metadata. The time comes last, since each change to the directory moves it.
func (w *walker) finish(d *target) error {
	if !d.merged {
		from, err := d.tree.root.open(d.from, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		attrs, err := readXattrs(from)
		err = errors.Join(err, from.Close())
		if err == nil {
			err = w.setMetadata(d.to, &d.meta, attrs)
		}
		if err != nil {
			return err
		}
	}
	return w.setTime(d.to, ".", &d.meta)
}

// twin copies a file with several links, or links it to its copy. The first copy is whole before the next link.
func (w *walker) twin(ctx context.Context, d *target, name string, k *node) error {
	first, ok := w.twins[k.meta.inode()]
	if !ok {
		w.twins[k.meta.inode()] = path.Join(w.root, name)
		return w.leaf(ctx, d, k, k.name)
	}
	f, err := w.copier.root.open(first, unix.O_PATH)
	if err != nil {
		return err
	}
	err = w.replace(d.to, k.name, func() error {
		return unix.Linkat(unix.AT_FDCWD, procPath(f), int(d.to.Fd()), k.name, unix.AT_SYMLINK_FOLLOW)
	})
	return errors.Join(err, f.Close())
}
