package treetest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// View is all that a layer could hold of a directory tree, by path; the root is ".". It can outlive the tree.
type View map[string]Seen

// Seen is one entry of a View.
type Seen struct {
	// Line is the entry as text, with a digest for its content and without its names.
	Line string
	// IsDir, Whiteout and Opaque are what the entry is; the last two are set by Upper alone.
	IsDir, Whiteout, Opaque bool
	// file is the same for all names of a file that has several.
	file string
}

// Dir prints a directory tree as View does. Equal texts are equal trees.
func Dir(tb testing.TB, dir string) string {
	tb.Helper()
	return Look(tb, dir).String()
}

// Look reads a directory tree. Sockets are left out, as is the time of the root.
func Look(tb testing.TB, dir string) View {
	tb.Helper()
	return look(tb, dir, "")
}

// Look reads what the mount shows. Which names are one file is read in the upper directory, where it has them: a mount
// with userxattr may show two inode numbers for one pipe.
func (o *Overlay) Look(tb testing.TB) View {
	tb.Helper()
	v := Look(tb, o.Merged)
	for p, s := range v {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(o.Upper, p), &st); err == nil && !s.IsDir {
			s.file = fileOf("upper ", &st)
			v[p] = s
		}
	}
	return v
}

// LookUpper reads the upper directory of an overlay mount, whose marks have names that begin so.
func LookUpper(tb testing.TB, dir, marks string) View {
	tb.Helper()
	return look(tb, dir, marks)
}

func look(tb testing.TB, dir, marks string) View {
	tb.Helper()
	l := looker{view: View{}, marks: marks, buf: make([]byte, xattrMax)}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return l.add(path, rel)
	})
	if err != nil {
		tb.Fatalf("look at %s: %v", dir, err)
	}
	return l.view
}

const xattrMax = 64 << 10 // bytes, of one attribute and of all names

type looker struct {
	view  View
	marks string // begins the names of overlay's own attributes; empty: there are none
	buf   []byte
}

func (l *looker) add(path, rel string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFSOCK {
		return nil
	}
	s := Seen{IsDir: kind == unix.S_IFDIR}
	if !s.IsDir {
		s.file = fileOf(l.marks, &st)
	}
	s.Whiteout = l.marks != "" && kind == unix.S_IFCHR && st.Rdev == 0
	content, err := contentOf(path, kind)
	if err != nil {
		return err
	}
	attrs, err := l.xattrs(path)
	if err != nil {
		return err
	}
	s.Opaque = attrs[l.marks+"opaque"] == "y"
	s.Line = metadataOf(&st, rel) + content + l.text(attrs)
	l.view[rel] = s
	return nil
}

// fileOf tells files with several names apart. The same number in two trees does not make two files one.
func fileOf(tree string, st *unix.Stat_t) string {
	if st.Nlink <= 1 {
		return ""
	}
	return fmt.Sprintf("%s%d:%d", tree, st.Dev, st.Ino)
}

func metadataOf(st *unix.Stat_t, rel string) string {
	line := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	if rel != "." {
		line += fmt.Sprintf(" mtime=%d", st.Mtim.Sec)
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFCHR || kind == unix.S_IFBLK {
		line += fmt.Sprintf(" %#x", st.Rdev)
	}
	return line
}

func contentOf(path string, kind uint32) (string, error) {
	switch kind {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return fmt.Sprintf(" -> %q", target), err
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		return fmt.Sprintf(" %d %x", len(b), sha256.Sum256(b)), err
	}
	return "", nil
}

func (l *looker) xattrs(path string) (map[string]string, error) {
	n, err := unix.Llistxattr(path, l.buf)
	if err != nil || n == 0 {
		return nil, err
	}
	attrs := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(l.buf[:n]), "\x00"), "\x00") {
		n, err := unix.Lgetxattr(path, name, l.buf)
		if err != nil {
			return nil, err
		}
		attrs[name] = string(l.buf[:n])
	}
	return attrs, nil
}

func (l *looker) text(attrs map[string]string) string {
	var text string
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		if l.marks == "" || !strings.HasPrefix(key, l.marks) {
			text += fmt.Sprintf(" %s=%q", key, attrs[key])
		}
	}
	return text
}

// Has reports whether there is such a path.
func (v View) Has(path string) bool {
	_, there := v[path]
	return there
}

// Over is what a mount shows of an upper directory over a tree, by the plain rules: no mark but whiteouts and opaque
// directories.
func (v View) Over(lower View) View {
	merged := maps.Clone(lower)
	for _, p := range slices.Sorted(maps.Keys(v)) {
		s := v[p]
		switch {
		case s.Whiteout, !s.IsDir, !lower[p].IsDir:
			merged.remove(p)
		case s.Opaque:
			merged.removeBelow(p)
		}
		if !s.Whiteout {
			merged[p] = s
		}
	}
	return merged
}

func (v View) remove(p string) {
	delete(v, p)
	v.removeBelow(p)
}

func (v View) removeBelow(p string) {
	for below := range v {
		if p == "." && below != "." || strings.HasPrefix(below, p+"/") {
			delete(v, below)
		}
	}
}

// Separate makes each of these names the only one of its file.
func (v View) Separate(separate func(path string, s Seen) bool) {
	for p, s := range v {
		if separate(p, s) {
			s.file = ""
			v[p] = s
		}
	}
}

// String prints one entry a line, in order of paths. Further names of a file point to its first.
func (v View) String() string {
	var out strings.Builder
	first := map[string]string{}
	for _, p := range slices.Sorted(maps.Keys(v)) {
		s := v[p]
		fmt.Fprintf(&out, "%q %s", p, s.Line)
		if known, ok := first[s.file]; s.file != "" && ok {
			fmt.Fprintf(&out, " => %q", known)
		} else {
			first[s.file] = p
		}
		out.WriteByte('\n')
	}
	return out.String()
}
