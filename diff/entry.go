package diff

import (
	"io/fs"
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
