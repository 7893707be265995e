package diff_test

import (
	"context"
	"errors"
	"io"
	"path"
	"path/filepath"
	"testing"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

const secret = "what is outside of the tree"

// FuzzUpper reads trees with any marks. Whatever they say: errors belong to paths, changes come once and in order, and
// nothing is read that is not in the tree.
func FuzzUpper(f *testing.F) {
	root := f.TempDir()
	treetest.Make(f, root, `
		outside/
		outside/secret "`+secret+`"
		lower/
		lower/a/
		lower/a/f "lower"
		lower/a/out -> ../../outside
		lower/b/
		lower/b/g "lower g"
		lower/f "lower f"
		lower/out -> ../outside
		upper/
		upper/d/
		upper/d/e
		upper/d/f "upper"
		upper/f
	`)
	f.Add([]byte("y"), []byte("a"), []byte(nil), []byte("U+1"), byte(0xff))
	f.Add([]byte("x"), []byte("/b"), []byte("y"), []byte("L-1"), byte(0x3f))
	f.Add([]byte("yy"), []byte("../outside"), []byte("secret"), []byte("U"), byte(0x0f))
	f.Add([]byte{}, []byte("/a/out/secret"), []byte("/../outside/secret"), []byte{0}, byte(0x33))
	f.Add([]byte("y\x00"), []byte("/out"), []byte("\x00"), []byte("L"), byte(0x55))
	f.Fuzz(func(t *testing.T, opaque, redirect, file, nlink []byte, set byte) {
		for i, mark := range []struct {
			path, name string
			value      []byte
		}{
			{"upper/d", "opaque", opaque},
			{"upper/d", "redirect", redirect},
			{"upper/d/e", "metacopy", nil},
			{"upper/d/e", "redirect", file},
			{"upper/f", "nlink", nlink},
			{"upper/f", "metacopy", file},
			{"lower/a", "opaque", opaque},
			{"upper/d/e", "whiteout", nil},
		} {
			setMark(t, filepath.Join(root, mark.path), "user.overlay."+mark.name, mark.value, set&(1<<i) != 0)
		}
		opts := diff.UpperOptions{Upper: root + "/upper", Lower: []string{root + "/lower"}, UserXattr: true}
		for _, opts.Whiteouts = range []diff.Whiteouts{diff.Opaque, diff.Explicit} {
			checkWalk(t, opts)
		}
	})
}

func setMark(t *testing.T, path, name string, value []byte, set bool) {
	t.Helper()
	err := unix.Lremovexattr(path, name)
	if set {
		err = unix.Lsetxattr(path, name, value, 0)
	}
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.ENOSPC) {
		t.Skip(err)
	}
}

func checkWalk(t *testing.T, opts diff.UpperOptions) {
	t.Helper()
	seen := map[string]bool{}
	for c, err := range diff.Upper(context.Background(), opts) {
		if pathErr := (*diff.PathError)(nil); err != nil && !errors.As(err, &pathErr) {
			t.Fatalf("an error without a path: %v", err)
		}
		if err != nil {
			return
		}
		if seen[c.Path] || c.Path != path.Clean(c.Path) || !filepath.IsLocal(c.Path) {
			t.Fatalf("path %q, told before: %t", c.Path, seen[c.Path])
		}
		seen[c.Path] = true
		if parent := path.Dir(c.Path); parent != "." && !seen[parent] {
			t.Fatalf("%q comes before its directory", c.Path)
		}
		if c.Kind != diff.Delete && c.Mode.IsRegular() {
			checkContent(t, c)
		}
	}
}

func checkContent(t *testing.T, c diff.Change) {
	t.Helper()
	r, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if pathErr := (*diff.PathError)(nil); err != nil && !errors.As(err, &pathErr) {
		t.Fatal(err)
	}
	if string(b) == secret || err == nil && int64(len(b)) != c.Size {
		t.Fatalf("%q: %d bytes of %d, %q", c.Path, len(b), c.Size, b)
	}
}
