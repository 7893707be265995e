package treetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Tar prints the entries of a tar, in their order. A whiteout or opaque marker that is as it must be (an empty file,
// mode 0, owner 0:0, time 0) is a bare path.
func Tar(tb testing.TB, r io.Reader) string {
	tb.Helper()
	var lines []string
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(lines, "\n")
		}
		if err != nil {
			tb.Fatalf("read tar: %v", err)
		}
		content, err := io.ReadAll(io.LimitReader(tr, longest+1))
		if err != nil {
			tb.Fatalf("read %q: %v", hdr.Name, err)
		}
		lines = append(lines, ofHeader(hdr, string(content)).String())
	}
}

func ofHeader(hdr *tar.Header, content string) entry {
	e := entry{
		path: hdr.Name, kind: kindOf(hdr.Typeflag), target: hdr.Linkname, content: content, size: hdr.Size,
		major: uint32(hdr.Devmajor), minor: uint32(hdr.Devminor),
		mode: uint32(hdr.Mode), uid: hdr.Uid, gid: hdr.Gid, mtime: hdr.ModTime.Unix(), xattrs: map[string]string{},
	}
	for key, value := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			e.xattrs[name] = value
		}
	}
	bare := e.kind == "file" && e.size+int64(e.mode)+e.mtime == 0 && e.uid+e.gid+len(e.xattrs) == 0
	e.whiteout = bare && strings.HasPrefix(path.Base(e.path), ".wh.")
	return e
}

func kindOf(flag byte) string {
	return map[byte]string{
		tar.TypeReg: "file", tar.TypeDir: "dir", tar.TypeSymlink: "symlink", tar.TypeLink: "hardlink",
		tar.TypeFifo: "fifo", tar.TypeChar: "char", tar.TypeBlock: "block",
	}[flag]
}

// Dir prints all that a layer could hold of a directory tree, with a digest for the content of files and all times,
// except that of the root. Equal texts are equal trees.
func Dir(tb testing.TB, dir string) string {
	tb.Helper()
	p := dirPrinter{first: map[[2]uint64]string{}}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return p.entry(path, rel)
	})
	if err != nil {
		tb.Fatalf("print %s: %v", dir, err)
	}
	return p.out.String()
}

type dirPrinter struct {
	out   bytes.Buffer
	first map[[2]uint64]string
}

func (p *dirPrinter) entry(path, rel string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFSOCK {
		return nil
	}
	fmt.Fprintf(&p.out, "%q %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
	if rel != "." {
		fmt.Fprintf(&p.out, " mtime=%d", st.Mtim.Sec)
	}
	if kind == unix.S_IFCHR || kind == unix.S_IFBLK {
		fmt.Fprintf(&p.out, " %#x", st.Rdev)
	}
	p.links(&st, rel)
	if err := p.content(path, kind); err != nil {
		return err
	}
	err := p.xattrs(path)
	p.out.WriteByte('\n')
	return err
}

func (p *dirPrinter) links(st *unix.Stat_t, rel string) {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR || st.Nlink < 2 {
		return
	}
	id := [2]uint64{uint64(st.Dev), st.Ino}
	if first, ok := p.first[id]; ok {
		fmt.Fprintf(&p.out, " => %q", first)
		return
	}
	p.first[id] = rel
}

func (p *dirPrinter) content(path string, kind uint32) error {
	switch kind {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		fmt.Fprintf(&p.out, " -> %q", target)
		return err
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		fmt.Fprintf(&p.out, " %d %x", len(b), sha256.Sum256(b))
		return err
	}
	return nil
}

func (p *dirPrinter) xattrs(path string) error {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil || n == 0 {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return err
		}
		fmt.Fprintf(&p.out, " %s=%q", name, value[:n])
	}
	return nil
}
