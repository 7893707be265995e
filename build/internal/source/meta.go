package source

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// meta is what stat tells about an entry.
type meta struct {
	mode, uid, gid uint32
	links          uint32
	size           int64
	mtime, ctime   unix.Timespec
	ino, dev, rdev uint64
}

func newMeta(st *unix.Stat_t) meta {
	return meta{
		mode: st.Mode, uid: st.Uid, gid: st.Gid, links: uint32(st.Nlink), size: st.Size,
		mtime: st.Mtim, ctime: st.Ctim, ino: st.Ino, dev: uint64(st.Dev), rdev: uint64(st.Rdev),
	}
}

func (m *meta) kind() uint32    { return m.mode & unix.S_IFMT }
func (m *meta) isDir() bool     { return m.kind() == unix.S_IFDIR }
func (m *meta) isRegular() bool { return m.kind() == unix.S_IFREG }
func (m *meta) isLink() bool    { return m.kind() == unix.S_IFLNK }

// isTwin reports whether m is of a regular file with several names.
func (m *meta) isTwin() bool { return m.isRegular() && m.links > 1 }

// inode tells files apart: two names with one inode are hard links.
type inode struct{ dev, ino uint64 }

func (m *meta) inode() inode { return inode{m.dev, m.ino} }

// same reports whether both describe one file with the same content, as far as stat can tell.
func (m *meta) same(o *meta) bool {
	return m.kind() == o.kind() && m.size == o.size && m.inode() == o.inode() && m.mtime == o.mtime && m.ctime == o.ctime
}

// special pairs the bits above the permissions in both notations.
var special = [...]struct {
	unix uint32
	file fs.FileMode
}{
	{unix.S_ISUID, fs.ModeSetuid}, {unix.S_ISGID, fs.ModeSetgid}, {unix.S_ISVTX, fs.ModeSticky},
}

// fileMode is mode in Go's notation, with a type no finer than directory or not.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for _, s := range special {
		if mode&s.unix != 0 {
			m |= s.file
		}
	}
	if mode&unix.S_IFMT == unix.S_IFDIR {
		m |= fs.ModeDir
	}
	return m
}

// permissions is the 07777 part of m in unix notation.
func permissions(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for _, s := range special {
		if m&s.file != 0 {
			bits |= s.unix
		}
	}
	return bits
}
