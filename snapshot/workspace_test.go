package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestCommitFreezesTheTree(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	base := mustStep(t, ctx, s, "", write("etc/a", "etc/b"))
	top := mustStep(t, ctx, s, base, func(dir string) error {
		if err := os.Remove(filepath.Join(dir, "etc/a")); err != nil {
			return err
		}
		return write("etc/c")(dir)
	})
	want := strings.Join([]string{
		"drwxr-xr-x 0:0 .",
		"drwxr-xr-x 0:0 etc",
		"-rw-r--r-- 0:0 etc/b = etc/b",
		"-rw-r--r-- 0:0 etc/c = etc/c",
	}, "\n")
	if diff := cmp.Diff(want, view(t, ctx, s, top)); diff != "" {
		t.Error(diff)
	}
	dirs, err := s.Dirs(ctx, top)
	if err != nil {
		t.Fatal(err)
	}
	below, err := s.Dirs(ctx, base)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{below.Upper}, dirs.Lower); diff != "" {
		t.Error(diff)
	}
	wantUpper := strings.Join([]string{
		"drwxr-xr-x 0:0 .",
		"drwxr-xr-x 0:0 etc",
		"Dcrw-rw-rw- 0:0 etc/a",
		"-rw-r--r-- 0:0 etc/c = etc/c",
	}, "\n")
	gotUpper := strings.ReplaceAll(listing(t, dirs.Upper), "Dc---------", "Dcrw-rw-rw-")
	if diff := cmp.Diff(wantUpper, gotUpper); diff != "" {
		t.Error(diff)
	}
}

func TestViewIsReadOnly(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	one := mustStep(t, ctx, s, "", write("a"))
	two := mustStep(t, ctx, s, one, write("b"))
	for _, name := range []string{one, two} {
		v, err := s.View(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := write("c")(v.Dir()); err == nil {
			t.Error("wrote into a view")
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestViewOfNothingIsEmpty(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	if diff := cmp.Diff("drwx------ 0:0 .", view(t, ctx, s, "")); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyTreeHasOneRootDirectoryWhateverTheUmask(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	name := mustStep(t, ctx, s, "", func(string) error { return nil })
	if diff := cmp.Diff("drwxr-xr-x 0:0 .", view(t, ctx, s, name)); diff != "" {
		t.Error(diff)
	}
}

func TestWorkspaceKeepsTheModeOfItsParentsRoot(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	base := mustStep(t, ctx, s, "", func(dir string) error {
		return os.Chmod(dir, 0o711)
	})
	top := mustStep(t, ctx, s, base, func(string) error { return nil })
	if diff := cmp.Diff("drwx--x--x 0:0 .", view(t, ctx, s, top)); diff != "" {
		t.Error(diff)
	}
}

func TestMountGivesTheSameDirectory(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	w, err := s.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Discard() }()
	first, err := w.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.Mount(ctx)
	if err != nil || first != second {
		t.Errorf("mounted at %s, then at %s: %v", first, second, err)
	}
}

func TestChainOf120LayersMounts(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	name := ""
	for i := range 120 {
		name = mustStep(t, ctx, s, name, write(fmt.Sprintf("f%03d", i)))
	}
	got := strings.Count(view(t, ctx, s, name), "\n")
	if got != 120 {
		t.Errorf("%d files, want 120", got)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	w, err := s.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := w.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := write("a")(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Discard(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Mount(ctx); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("mount after discard: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

func TestCommitRefusesATreeInUse(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	w, err := s.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Discard() }()
	dir, err := w.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := w.Commit(ctx, NewName()); err == nil {
		t.Error("committed with an open file")
	}
}

func TestWorkNeedsALease(t *testing.T) {
	s := openStore(t, Options{})
	if _, err := s.Prepare(t.Context(), ""); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("prepare: %v", err)
	}
	if _, err := s.View(t.Context(), ""); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("view: %v", err)
	}
	if _, err := s.WriteBlob(t.Context(), "text/plain", []byte("x"), nil); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("write blob: %v", err)
	}
}

// A process in a container makes paths as long as the kernel takes, and the store's own path comes before them.
func TestCommitTakesPathsThatAreTooLongFromOutside(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	const depth, length = 30, 200 // more than 4096 bytes together
	mustStep(t, ctx, s, "", func(dir string) error {
		root, err := os.OpenRoot(dir)
		for range depth {
			if err != nil {
				return err
			}
			name := strings.Repeat("x", length)
			if err := root.Mkdir(name, 0o755); err != nil {
				return errors.Join(err, root.Close())
			}
			below, openErr := root.OpenRoot(name)
			err = errors.Join(openErr, root.Close())
			root = below
		}
		return root.Close()
	})
}
