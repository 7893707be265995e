package diff

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// change describes an entry as an addition.
func (w *walker) change(n *node, path string) (Change, error) {
	c := Change{
		Kind:    Add,
		Path:    path,
		Mode:    fileMode(n.st.Mode),
		UID:     int(n.st.Uid),
		GID:     int(n.st.Gid),
		ModTime: time.Unix(n.st.Mtim.Unix()),
		Xattrs:  n.attrs.own,
		data:    n.data,
	}
	var err error
	switch n.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		c.Size = n.st.Size
	case unix.S_IFLNK:
		c.Linkname, err = n.in.readlink(n.name)
	case unix.S_IFCHR, unix.S_IFBLK:
		c.Major, c.Minor = unix.Major(n.st.Rdev), unix.Minor(n.st.Rdev)
	}
	if err != nil {
		return Change{}, &PathError{Op: "readlink", Path: path, Err: vanished(err)}
	}
	return c, nil
}

// fileMode is a mode of the kernel as Go has it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for _, bit := range []struct {
		of, is uint32
		m      fs.FileMode
	}{
		{unix.S_IFMT, unix.S_IFDIR, fs.ModeDir},
		{unix.S_IFMT, unix.S_IFLNK, fs.ModeSymlink},
		{unix.S_IFMT, unix.S_IFIFO, fs.ModeNamedPipe},
		{unix.S_IFMT, unix.S_IFSOCK, fs.ModeSocket},
		{unix.S_IFMT, unix.S_IFBLK, fs.ModeDevice},
		{unix.S_IFMT, unix.S_IFCHR, fs.ModeDevice | fs.ModeCharDevice},
		{unix.S_ISUID, unix.S_ISUID, fs.ModeSetuid},
		{unix.S_ISGID, unix.S_ISGID, fs.ModeSetgid},
		{unix.S_ISVTX, unix.S_ISVTX, fs.ModeSticky},
	} {
		if mode&bit.of == bit.is {
			m |= bit.m
		}
	}
	return m
}

// unchanged reports whether the upper directory holds an entry just as the lower ones do. Of a file with several
// names all are told, because a link in a layer needs the name that it links to.
func (w *walker) unchanged(ctx context.Context, c Change, n, base *node) (bool, error) {
	if base == nil || nameCount(n) > 1 || !w.sameMetadata(n, base) {
		return false, nil
	}
	switch {
	case n.isRegular():
		return sameBytes(ctx, c.Path, n.data, base.data)
	case c.Mode&fs.ModeSymlink != 0:
		target, err := base.in.readlink(base.name)
		if err != nil {
			return false, &PathError{Op: "readlink", Path: c.Path, Err: err}
		}
		return target == c.Linkname, nil
	}
	return true, nil
}

// sameMetadata compares all that a layer keeps of an entry except its content.
func (w *walker) sameMetadata(a, b *node) bool {
	x, y := a.st, b.st
	return x.Mode == y.Mode && x.Uid == y.Uid && x.Gid == y.Gid && x.Rdev == y.Rdev &&
		(a.isDir() || x.Size == y.Size) && w.seconds(x) == w.seconds(y) &&
		slices.Equal(a.attrs.own, b.attrs.own)
}

// seconds is the modification time as a layer keeps it.
func (w *walker) seconds(st unix.Stat_t) int64 {
	sec, _ := st.Mtim.Unix()
	if w.opts.Epoch != nil {
		return min(sec, w.opts.Epoch.Unix())
	}
	return sec
}

const compareBuffer = 64 << 10 // bytes, for each of the two files

// sameBytes compares the content of two files of the same length.
func sameBytes(ctx context.Context, path string, a, b *data) (same bool, err error) {
	if a.tree == b.tree && a.rel == b.rel {
		return true, nil
	}
	x, err := a.open(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	y, err := b.open(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, y.Close()) }()
	return sameStreams(ctx, x, y)
}

// sameStreams compares as many bytes as x has.
func sameStreams(ctx context.Context, x, y io.Reader) (bool, error) {
	p, q := make([]byte, compareBuffer), make([]byte, compareBuffer)
	for ctx.Err() == nil {
		n, err := x.Read(p)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if _, err := io.ReadFull(y, q[:n]); err != nil {
			return false, err
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
	}
	return false, ctx.Err()
}
