package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// leaf copies an entry that is no directory from the directory of d into it, under a name.
func (c *copier) leaf(ctx context.Context, d *target, n *node, name string) error {
	if c.placed != nil {
		if left, err := c.placed.leave(d, name, n); left || err != nil {
			return err
		}
	}
	from := path.Join(d.from, n.name)
	if n.meta.isRegular() {
		return c.file(ctx, d, from, &n.meta, name)
	}
	f, err := d.tree.root.open(from, unix.O_PATH)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unchanged(f, &n.meta); err != nil {
		return err
	}
	if n.meta.isLink() {
		return c.link(d, f, &n.meta, name)
	}
	return c.device(d, f, &n.meta, name)
}

// replace makes an entry, removing what is in its place.
func (c *copier) replace(dir *os.File, name string, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := c.remove(dir, name); err != nil {
		return err
	}
	return create()
}

// remove removes what is in the place of a file. A directory goes only if Replace says so.
func (c *copier) remove(dir *os.File, name string) error {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	if !c.opts.Replace {
		return fmt.Errorf("a file cannot replace the directory %q", name)
	}
	in, err := os.OpenRoot(procPath(dir))
	if err != nil {
		return err
	}
	return errors.Join(in.RemoveAll(name), in.Close())
}

// create makes an empty regular file in the place of what is there.
func (c *copier) create(dir *os.File, name string) (f *os.File, err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	err = c.replace(dir, name, func() error {
		fd, err := unix.Openat(int(dir.Fd()), name, flags, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	return f, err
}

func openDirAt(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open directory", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// file copies a regular file.
func (c *copier) file(ctx context.Context, d *target, from string, m *meta, name string) error {
	src, err := d.tree.root.openRegular(from, m)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := c.create(d.to, name)
	if err != nil {
		return err
	}
	err = c.bytes(ctx, dst, src, m.size)
	if err == nil {
		err = c.setMetadataFrom(dst, src, m)
	}
	if err == nil {
		err = unchanged(src, m) // or else the copy might be half of the old and half of the new
	}
	if err == nil {
		err = c.setTime(d.to, name, m)
	}
	return errors.Join(err, dst.Close())
}

// piece is how much is copied before the context is looked at.
const piece = 64 << 20 // bytes

// bytes copies size bytes, sharing or copying them in the kernel where the file systems can.
func (c *copier) bytes(ctx context.Context, dst, src *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	if !c.noClone.Load() {
		if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
			return nil
		}
		c.noClone.Store(true)
	}
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := dst.ReadFrom(io.LimitReader(src, min(left, piece)))
		if err == nil && n == 0 {
			err = fmt.Errorf("%q %w", src.Name(), ErrChanged)
		}
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func (c *copier) setMetadataFrom(dst, src *os.File, m *meta) error {
	attrs, err := readXattrs(src)
	if err != nil {
		return err
	}
	return c.setMetadata(dst, m, attrs)
}

// setMetadata gives an open file or directory its owner, attributes and mode. The order matters: a change of owner
// takes capabilities and setuid away, and an ACL has the last word on the mode only if no other was asked for.
func (c *copier) setMetadata(f *os.File, m *meta, attrs []xattr) error {
	owner := c.owner(m)
	if err := unix.Fchown(int(f.Fd()), owner.UID, owner.GID); err != nil {
		return fmt.Errorf("change owner to %d:%d: %w", owner.UID, owner.GID, err)
	}
	if err := writeXattrs(f, attrs); err != nil {
		return err
	}
	if err := unix.Fchmod(int(f.Fd()), c.mode.apply(m.mode)); err != nil {
		return fmt.Errorf("change mode: %w", err)
	}
	return nil
}

func (c *copier) owner(m *meta) Owner {
	if c.opts.Owner != nil {
		return *c.opts.Owner
	}
	return Owner{UID: int(m.uid), GID: int(m.gid)}
}

// link copies a symbolic link as it is.
func (c *copier) link(d *target, src *os.File, m *meta, name string) error {
	to, err := readlink(src)
	if err != nil {
		return err
	}
	dir := int(d.to.Fd())
	if err := c.replace(d.to, name, func() error { return unix.Symlinkat(to, dir, name) }); err != nil {
		return err
	}
	owner := c.owner(m)
	if err := unix.Fchownat(dir, name, owner.UID, owner.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("change owner: %w", err)
	}
	return c.setTime(d.to, name, m)
}

// device copies a device or fifo. As in docker a socket, which is nothing without its process, becomes an empty file.
func (c *copier) device(d *target, src *os.File, m *meta, name string) error {
	dir := int(d.to.Fd())
	kind := m.kind()
	if kind == unix.S_IFSOCK {
		kind = unix.S_IFREG
	}
	err := c.replace(d.to, name, func() error { return unix.Mknodat(dir, name, kind|0o600, int(m.rdev)) })
	if err != nil {
		return err
	}
	owner := c.owner(m)
	if err := unix.Fchownat(dir, name, owner.UID, owner.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("change owner: %w", err)
	}
	if err := c.deviceXattrs(d.to, name, src); err != nil {
		return err
	}
	if err := unix.Fchmodat(dir, name, c.mode.apply(m.mode), 0); err != nil {
		return fmt.Errorf("change mode: %w", err)
	}
	return c.setTime(d.to, name, m)
}

// deviceXattrs copies attributes without opening either device.
func (c *copier) deviceXattrs(dir *os.File, name string, src *os.File) error {
	attrs, err := readXattrs(src)
	if err != nil || len(attrs) == 0 {
		return err
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(fd), name)
	return errors.Join(writeXattrs(dst, attrs), dst.Close())
}

// document writes an inline document. Its time is that of the build.
func (c *copier) document(dir *os.File, name string, it *item) error {
	f, err := c.create(dir, name)
	if err != nil {
		return err
	}
	_, err = f.Write(it.inline)
	if err == nil {
		err = c.setMetadata(f, &it.node.meta, nil)
	}
	if err == nil && c.opts.Epoch != nil {
		err = setTimeAt(dir, name, timespec(*c.opts.Epoch))
	}
	return errors.Join(err, f.Close())
}
