package layer_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestAnyHistoryUnpacksToTheMergedTree runs random operations on two overlays, the second on top of the first, and
// unpacks the layer of the second on the same lower directories. LBUILD_HISTORIES is the number of histories.
func TestAnyHistoryUnpacksToTheMergedTree(t *testing.T) {
	treetest.NeedRoot(t)
	if n := os.Getenv("LBUILD_HISTORIES"); n != "" {
		if err := flag.Set("rapid.checks", n); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t, rt: rt}
		defer s.end()
		checkHistory(rt, s)
	})
}

func checkHistory(rt *rapid.T, s *scope) {
	options := rapid.SampledFrom([][]string{
		nil, {"redirect_dir=on"}, {"metacopy=on", "redirect_dir=on"},
	}).Draw(rt, "mount options")
	base := treetest.Lower(s, baseTree)
	first := treetest.Mount(s, base, treetest.Options{Mount: options})
	history(rt, first.Merged, "before", operations[:len(operations)-1])
	// The upper directory becomes a lower one, which no mount may write to any more.
	s.unmount(first)

	second := treetest.Mount(s, append([]string{first.Upper}, base...), treetest.Options{Mount: options})
	history(rt, second.Merged, "step", operations)
	want := treetest.Dir(s, second.Merged)
	for _, whiteouts := range []diff.Whiteouts{diff.Opaque, diff.Explicit} {
		opts := diff.UpperOptions{Upper: second.Upper, Lower: second.Lower, Whiteouts: whiteouts}
		tar := pack(s, opts, 1)
		if !bytes.Equal(tar, pack(s, opts, 4)) {
			rt.Fatal("the second layer has other bytes than the first")
		}
		other := treetest.Mount(s, second.Lower, treetest.Options{Mount: options})
		if _, err := archive.Apply(context.Background(), other.Merged, bytes.NewReader(tar)); err != nil {
			rt.Fatalf("unpack: %v", err)
		}
		if d := cmp.Diff(lines(want), lines(treetest.Dir(s, other.Merged))); d != "" {
			rt.Fatalf("tree (-merged +unpacked):\n%s\nlayer:\n%s", d, treetest.Tar(s, bytes.NewReader(tar)))
		}
	}
}

const baseTree = `
	a/
	a/a "1"
	a/b/ mode=0700
	a/b/c "2" own=1:2
	a/b/a -> ../a
	b "3" user.k="v"
	c/
	c/c/
	c/c/c "4"
	c/c/b char=1:3
`

// operation changes a tree below dir. It may do nothing where the names are not what it needs.
type operation struct {
	name string
	do   func(dir, from, to string) error
}

var operations = []operation{
	{"write", write},
	{"rewrite", rewrite},
	{"mkdir", func(_, _, to string) error { return os.MkdirAll(to, 0o755) }},
	{"remove", func(_, _, to string) error { return removeAll(to) }},
	{"recreate", func(_, _, to string) error { return firstError(removeAll(to), os.MkdirAll(to, 0o755)) }},
	{"rename", func(_, from, to string) error { return os.Rename(from, to) }},
	{"away and back", func(dir, from, _ string) error {
		return firstError(os.Rename(from, filepath.Join(dir, "t")), os.Rename(filepath.Join(dir, "t"), from))
	}},
	{"symlink", func(_, from, to string) error { return os.Symlink(filepath.Base(from), to) }},
	{"chmod", func(_, from, to string) error { return os.Chmod(to, 0o700|os.FileMode(len(from)%8)) }},
	{"chown to the same", func(_, _, to string) error { return os.Lchown(to, -1, 0) }},
	{"chown", func(_, _, to string) error { return os.Lchown(to, 3, 4) }},
	{"set attribute", setAttribute},
	{"remove attribute", func(_, _, to string) error { return unix.Lremovexattr(to, "user.k") }},
	{"mkfifo", func(_, _, to string) error { return unix.Mkfifo(to, 0o600) }},
	// Last, because a link group of a lower directory falls apart when one name is copied up: that is how overlayfs is
	// without an index, and no layer can tell.
	{"link", func(_, from, to string) error { return os.Link(from, to) }},
}

// removeAll looks first, because os.RemoveAll opens what should be the parent directory, and waits if that is a fifo.
func removeAll(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// write does not wait for somebody to read a fifo.
func write(_, from, to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(filepath.Base(from))
	return firstError(err, f.Close())
}

// rewrite changes the bytes of a file and neither its size nor its time.
func rewrite(_, _, to string) error {
	info, err := os.Lstat(to)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return firstError(
		os.WriteFile(to, bytes.Repeat([]byte{'r'}, int(info.Size())), 0o600),
		os.Chtimes(to, info.ModTime(), info.ModTime()),
	)
}

// setAttribute leaves directories alone: containerd's unpacker does not take attributes from one that is there.
func setAttribute(_, from, to string) error {
	info, err := os.Lstat(to)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return unix.Lsetxattr(to, "user.k", []byte(filepath.Base(from)), 0)
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// history runs random operations. Those that fail are part of it.
func history(rt *rapid.T, dir, label string, ops []operation) {
	names := rapid.SampledFrom([]string{"a", "b", "c"})
	path := func(label string) string {
		return filepath.Join(append([]string{dir}, rapid.SliceOfN(names, 1, 3).Draw(rt, label)...)...)
	}
	for i := range rapid.IntRange(0, 12).Draw(rt, label+" length") {
		op := ops[rapid.IntRange(0, len(ops)-1).Draw(rt, fmt.Sprintf("%s %d", label, i))]
		from, to := path("from"), path("to")
		rt.Logf("%s %s %s: %v", op.name, from, to, op.do(dir, from, to))
	}
}

// scope is a test of its own for one history: what it made goes when it ends, and its failures are told to rapid.
type scope struct {
	testing.TB
	rt       *rapid.T
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) Fatal(args ...any)                 { s.rt.Fatal(args...) }
func (s *scope) Fatalf(format string, args ...any) { s.rt.Fatalf(format, args...) }

func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		s.rt.Fatal(err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Error(err)
		}
	})
	return dir
}

// unmount ends the newest mount before its time.
func (s *scope) unmount(o *treetest.Overlay) {
	last := len(s.cleanups) - 1
	s.cleanups[last]()
	s.cleanups = s.cleanups[:last]
	if entries, err := os.ReadDir(o.Merged); err != nil || len(entries) > 0 {
		s.rt.Fatalf("%s is mounted still: %v", o.Merged, err)
	}
}

func (s *scope) end() {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		f()
	}
}
