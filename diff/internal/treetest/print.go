package treetest

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"strings"
	"testing"
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
