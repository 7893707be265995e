package layer_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// operation changes a tree. It may fail where the names are not what it needs.
type operation struct {
	name string
	do   func(o operands) error
}

// operands are what an operation works on: it uses what it needs.
type operands struct {
	dir      string // root of the tree
	from, to string // absolute paths
	n        int    // 0 to 7
}

// operations do nothing that can be seen outside of the tree, and wait for nobody. The first does nothing at all, which
// is what the others shrink to.
var operations = []operation{
	{"nothing", func(operands) error { return nil }},
	{"write", write},
	{"append", func(o operands) error { return writeTo(o.to, os.O_APPEND, o.from) }},
	{"truncate", func(o operands) error { return os.Truncate(o.to, []int64{0, 1, 2, 3, 5, 4096, 10_000, 70_000}[o.n]) }},
	{"rewrite", rewrite},
	{"touch", func(o operands) error { return touch(o.to, unix.Timespec{Sec: int64(o.n) * 1000}) }},
	{"open for writing", func(o operands) error { return writeTo(o.to, 0, "") }},
	{"mkdir", func(o operands) error { return os.Mkdir(o.to, 0o755) }},
	{"mkdir deep", func(o operands) error { return os.MkdirAll(o.to+"/x/y/z/x/y/z/x/y/z", 0o755) }},
	{"remove", func(o operands) error { return removeAll(o.to) }},
	{"remove and mkdir", func(o operands) error { return replace(o, func() error { return os.Mkdir(o.to, 0o755) }) }},
	{"remove and write", func(o operands) error { return replace(o, func() error { return write(o) }) }},
	{"remove and symlink", func(o operands) error { return replace(o, func() error { return symlink(o) }) }},
	{"remove and mkfifo", func(o operands) error { return replace(o, func() error { return unix.Mkfifo(o.to, 0o600) }) }},
	{"rename", func(o operands) error { return os.Rename(o.from, o.to) }},
	{"exchange", exchange},
	{"away and back", awayAndBack},
	{"symlink", symlink},
	{"chmod", func(o operands) error { return unix.Fchmodat(unix.AT_FDCWD, o.to, 0o700|uint32(o.n)<<9|uint32(o.n), 0) }},
	{"chown", func(o operands) error { return os.Lchown(o.to, 3, 4) }},
	{"chown to the same", func(o operands) error { return os.Lchown(o.to, -1, 0) }},
	{"set attribute", onFile(func(o operands) error { return setAttribute(o.to, filepath.Base(o.from)) })},
	{"remove attribute", onFile(func(o operands) error { return unix.Lremovexattr(o.to, "user.k") })},
	{"set capability", setCapability},
	{"mkfifo", func(o operands) error { return unix.Mkfifo(o.to, 0o600) }},
	{"make socket", func(o operands) error { return unix.Mknod(o.to, unix.S_IFSOCK|0o600, 0) }},
	{"make device", func(o operands) error { return unix.Mknod(o.to, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }},
	// Last, because a link group of a lower directory falls apart when one name is copied up: that is how overlayfs is
	// without an index, and no layer can tell.
	{"link", func(o operands) error { return os.Link(o.from, o.to) }},
}

// onDirectories are operations whose layers containerd unpacks well only where the directory is not there yet.
var onDirectories = []operation{
	{"set attribute", func(o operands) error { return setAttribute(o.to, filepath.Base(o.from)) }},
	{"remove attribute", func(o operands) error { return unix.Lremovexattr(o.to, "user.k") }},
	{"set what looks like a mark", func(o operands) error { return unix.Lsetxattr(o.to, "user.overlay.opaque", []byte("y"), 0) }},
	{"chmod the root", func(o operands) error { return os.Chmod(o.dir, 0o700|os.FileMode(o.n)) }},
	{"set attribute of the root", func(o operands) error { return setAttribute(o.dir, filepath.Base(o.from)) }},
	{"remove attribute of the root", func(o operands) error { return unix.Lremovexattr(o.dir, "user.k") }},
}

func write(o operands) error {
	return writeTo(o.to, os.O_CREATE|os.O_TRUNC, strings.Repeat(filepath.Base(o.from), o.n))
}

// writeTo does not wait for somebody to read a fifo.
func writeTo(path string, flags int, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|flags|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return firstError(err, f.Close())
}

// rewrite changes the bytes of a file and neither its size nor its time.
func rewrite(o operands) error {
	var st unix.Stat_t
	if err := unix.Lstat(o.to, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EINVAL
	}
	return firstError(
		os.WriteFile(o.to, bytes.Repeat([]byte{'r'}, int(st.Size)), 0o600),
		touch(o.to, st.Mtim),
	)
}

func touch(path string, at unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// removeAll looks first, because os.RemoveAll opens what should be the parent directory, and waits if that is a fifo.
func removeAll(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

func replace(o operands, with func() error) error {
	return firstError(removeAll(o.to), with())
}

func exchange(o operands) error {
	return unix.Renameat2(unix.AT_FDCWD, o.from, unix.AT_FDCWD, o.to, unix.RENAME_EXCHANGE)
}

func awayAndBack(o operands) error {
	away := filepath.Join(o.dir, "away")
	return firstError(os.Rename(o.from, away), os.Rename(away, o.from))
}

// symlink makes no link that leads upwards, so that whatever follows it stays in the tree.
func symlink(o operands) error {
	return os.Symlink([]string{filepath.Base(o.from), "x/y", "gone"}[o.n%3], o.to)
}

// onFile leaves everything but regular files alone.
func onFile(do func(operands) error) func(operands) error {
	return func(o operands) error {
		info, err := os.Lstat(o.to)
		if err == nil && !info.Mode().IsRegular() {
			err = unix.EINVAL
		}
		if err != nil {
			return err
		}
		return do(o)
	}
}

func setAttribute(path, value string) error { return unix.Lsetxattr(path, "user.k", []byte(value), 0) }

func setCapability(o operands) error {
	value := []byte{1, 0, 0, 2, 0, byte(1 << o.n), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	return unix.Lsetxattr(o.to, "security.capability", value, 0)
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// step is an operation and its operands below a root.
type step struct {
	operation
	from, to string
	n        int
}

// String is what a failure prints.
func (s step) String() string { return fmt.Sprintf("%s %s %s %d", s.name, s.from, s.to, s.n) }

// GoString leaves that to run, which has the errors too.
func (step) GoString() string { return "step" }

// steps generates so many operations. It draws bits alone, because rapid's numbers are mostly small ones.
func steps(count int, from []operation) *rapid.Generator[[]step] {
	one := rapid.Custom(func(t *rapid.T) step {
		s := step{operation: from[0], from: drawPath(t), to: drawPath(t), n: bits(t, 3)}
		if i := bits(t, 10); i > 0 {
			s.operation = from[1+i%(len(from)-1)]
		}
		return s
	})
	return rapid.SliceOfN(one, count, count)
}

// basePaths are of baseTree.
var basePaths = []string{
	"a", "a/a", "a/b", "a/b/c", "a/b/a", "a/c", "b", "c", "c/c", "c/c/b", "c/c/c", "d", "d/a", "d/a/a/d/d", "d/a/a/d/d/d", "d/b",
}

// drawPath draws one of few paths, so that the operations meet: half of them were there at first.
func drawPath(t *rapid.T) string {
	if bits(t, 1) == 0 {
		return basePaths[bits(t, 4)]
	}
	path := make([]string, []int{1, 2, 2, 3}[bits(t, 2)])
	for i := range path {
		path[i] = []string{"a", "b", "c", "d"}[bits(t, 2)]
	}
	return filepath.Join(path...)
}

func bits(t *rapid.T, count int) (n int) {
	for range count {
		n <<= 1
		if rapid.Bool().Draw(t, "bit") {
			n++
		}
	}
	return n
}

// run does the steps below a root and returns how many changed something. Those that fail are part of a history.
func run(log func(format string, args ...any), dir string, history []step) (done int) {
	for _, s := range history {
		if s.name == operations[0].name {
			continue
		}
		err := s.do(operands{dir: dir, from: filepath.Join(dir, s.from), to: filepath.Join(dir, s.to), n: s.n})
		var number syscall.Errno
		if errors.As(err, &number) {
			err = number // paths are said already
		}
		log("%s: %v", s, err)
		if err == nil {
			done++
		}
	}
	return done
}
