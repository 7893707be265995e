package diff_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

func TestOpenAndReadTellAFileThatChanged(t *testing.T) {
	for name, meddle := range map[string]func(path string) error{
		"vanished":    os.Remove,
		"grown":       func(path string) error { return os.Truncate(path, 10) },
		"shrunk":      func(path string) error { return os.Truncate(path, 1) },
		"rewritten":   func(path string) error { return os.WriteFile(path, []byte("yyy"), 0o644) },
		"a directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		"a link":      func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"a fifo":      func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o644)) },
		"another": func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte("xxx"), 0o644), os.Rename(path+"2", path))
		},
	} {
		t.Run(name+" before Open", func(t *testing.T) {
			c, path := oneFile(t)
			if err := meddle(path); err != nil {
				t.Fatal(err)
			}
			r, err := c.Open()
			if err == nil {
				t.Error(r.Close())
			}
			wantPathError(t, err, "d/f", diff.ErrChanged)
		})
	}
	for name, meddle := range map[string]func(path string) error{
		"grown":     func(path string) error { return os.Truncate(path, 10) },
		"shrunk":    func(path string) error { return os.Truncate(path, 1) },
		"rewritten": func(path string) error { return os.WriteFile(path, []byte("yyy"), 0o644) },
	} {
		t.Run(name+" before Read", func(t *testing.T) {
			c, path := oneFile(t)
			r, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			if err := meddle(path); err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(r)
			wantPathError(t, errors.Join(err, r.Close()), "d/f", diff.ErrChanged)
		})
	}
}

// oneFile walks a tree of one file with three bytes, and returns its change after the walk.
func oneFile(t *testing.T) (diff.Change, string) {
	t.Helper()
	dir := t.TempDir()
	treetest.Make(t, dir, "d/\nd/f \"xxx\"")
	var last diff.Change
	for c, err := range diff.Upper(context.Background(), diff.UpperOptions{Upper: dir}) {
		if err != nil {
			t.Fatal(err)
		}
		last = c
	}
	return last, filepath.Join(dir, "d/f")
}

func TestOpenWorksAfterTheWalk(t *testing.T) {
	c, _ := oneFile(t)
	r, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if string(got) != "xxx" || errors.Join(err, r.Close()) != nil {
		t.Errorf("content is %q, %v", got, err)
	}
}

func TestOpenRefusesWhatHasNoContent(t *testing.T) {
	_, err := diff.Change{Path: "d"}.Open()
	var pathErr *diff.PathError
	if !errors.As(err, &pathErr) {
		t.Errorf("error is %v", err)
	}
}

func TestReadFillsHolesWithZeros(t *testing.T) {
	const size = 5 << 20
	dir := t.TempDir()
	treetest.Make(t, dir, fmt.Sprintf("f size=%d", size))
	for at, text := range map[int64]string{0: "start", 2<<20 + 17: "middle", size - 3: "end"} {
		f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte(text), at)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	for c, err := range diff.Upper(context.Background(), diff.UpperOptions{Upper: dir}) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Path != "f" {
			continue
		}
		r, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(got) != string(want) {
			t.Errorf("%d bytes that differ from the file's %d: %v", len(got), len(want), err)
		}
	}
}
