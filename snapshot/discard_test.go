package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const immutableFlag = 0x10 // FS_IMMUTABLE_FL of linux/fs.h

// immutable makes a file or directory that nobody can move or remove until the returned function is called, or the test
// ends.
func immutable(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|immutableFlag)
	}
	if err != nil {
		_ = f.Close()
		if os.Getenv("LBUILD_TEST_STRICT") == "1" {
			t.Fatalf("missing: a file system with immutable files at %s: %v", path, err)
		}
		t.Skipf("missing: a file system with immutable files at %s: %v", path, err)
	}
	// By the open file: its path changes when it is thrown away.
	release = func() {
		if f == nil {
			return
		}
		if err := errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags), f.Close()); err != nil {
			t.Error(err)
		}
		f = nil
	}
	t.Cleanup(release)
	return release
}

// stuck makes a directory that cannot be removed, because of a file in it.
func stuck(t *testing.T, dir string) (release func()) {
	t.Helper()
	if err := write("file")(dir); err != nil {
		t.Fatal(err)
	}
	return immutable(t, filepath.Join(dir, "file"))
}

// warned opens a store whose warnings go to a list.
func warned(t *testing.T, root string) (*Store, *[]string) {
	t.Helper()
	var warnings []string
	return openStore(t, Options{Root: root, Warn: func(err error) { warnings = append(warnings, err.Error()) }}), &warnings
}

// works does each thing that throws something away.
func works(t *testing.T, s *Store) {
	t.Helper()
	l, ctx := newLease(t, s)
	mustStep(t, ctx, s, "", write("a"))
	w, err := s.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Mount(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Discard(); err != nil {
		t.Error(err)
	}
	r := newRegistry()
	if _, err := s.Unpack(ctx, r.putImage(t, manyLayers(t, 2)...), r, UnpackOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := s.tree.Prepare(ctx, "active", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.tree.Remove(ctx, "active"); err != nil {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	mkdirs(t, s.path("content", "ingest", "orphan"), filepath.Join(s.snapshotterDB.dirs, "1000"))
	if err := s.Collect(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWorkLeavesWhatOthersThrewAway(t *testing.T) {
	s, warnings := warned(t, newRoot(t))
	stuck(t, s.path("trash", "stuck"))
	mkdirs(t, s.path("trash", "other"))
	works(t, s)
	if len(*warnings) > 0 {
		t.Errorf("warns of what is not its own: %q", *warnings)
	}
	if left := leftovers(t, s.Root()); !slices.Equal(left, []string{"trash/other", "trash/stuck"}) {
		t.Errorf("left are %v, want what others threw away", left)
	}
}

func TestPruneSaysWhatCannotBeRemoved(t *testing.T) {
	s, _ := warned(t, newRoot(t))
	release := stuck(t, s.path("trash", "stuck"))
	mkdirs(t, s.path("trash", "other"))
	if _, err := s.Prune(t.Context(), PruneOptions{}); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "trash/stuck") {
		t.Errorf("got %v, want that the file cannot be removed", err)
	}
	if left := leftovers(t, s.Root()); !slices.Equal(left, []string{"trash/stuck"}) {
		t.Errorf("left are %v, want the stuck one", left)
	}
	release()
	if _, err := s.Prune(t.Context(), PruneOptions{}); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

func TestWhatCannotBeRemovedIsAWarning(t *testing.T) {
	for name, work := range map[string]func(*testing.T, *Store) (release func()){
		"commit": func(t *testing.T, s *Store) func() {
			_, ctx := newLease(t, s)
			w, err := s.Prepare(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			release := stuck(t, w.work())
			if err := w.Commit(ctx, NewName()); err != nil {
				t.Error(err)
			}
			return release
		},
		"discard": func(t *testing.T, s *Store) func() {
			_, ctx := newLease(t, s)
			w, err := s.Prepare(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			release := stuck(t, w.upper())
			if err := w.Discard(); err != nil {
				t.Error(err)
			}
			return release
		},
		"release": func(t *testing.T, s *Store) func() {
			l, _ := newLease(t, s)
			release := stuck(t, filepath.Join(l.Dir(), "scratch"))
			if err := l.Release(); err != nil {
				t.Error(err)
			}
			return release
		},
		"collect": func(t *testing.T, s *Store) func() {
			release := stuck(t, filepath.Join(s.snapshotterDB.dirs, "7", "fs"))
			if err := s.Collect(t.Context()); err != nil {
				t.Error(err)
			}
			return release
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, warnings := warned(t, newRoot(t))
			mustWorkOnce(t, s)
			release := work(t, s)
			if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "for later") || !strings.Contains((*warnings)[0], "not permitted") {
				t.Errorf("got %q, want one warning of what could not be removed", *warnings)
			}
			works(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			release()
			openStore(t, Options{Root: s.Root()})
			if left := namesOf(t, s.path("trash")); len(left) > 0 {
				t.Errorf("the next one leaves %v", left)
			}
		})
	}
}

// mustWorkOnce makes the store's databases hold something: a collection looks at no directories before.
func mustWorkOnce(t *testing.T, s *Store) {
	t.Helper()
	l, ctx := newLease(t, s)
	mustStep(t, ctx, s, "", write("once"))
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenAfterADeadProcessLeavesWhatCannotBeRemoved(t *testing.T) {
	root := newRoot(t)
	openStore(t, Options{Root: root})
	stuck(t, filepath.Join(root, "trash", "stuck"))
	mkdirs(t, filepath.Join(root, "leases", "dead", "mnt"), filepath.Join(root, "trash", "other"))
	_, warnings := warned(t, root)
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "trash/stuck") {
		t.Errorf("got %q, want one warning of the stuck file", *warnings)
	}
	if left := leftovers(t, root); !slices.Equal(left, []string{"trash/stuck"}) {
		t.Errorf("left are %v, want the stuck one", left)
	}
}

// A tree that cannot be moved is one that cannot be frozen.
func TestCommitThatFailsLeavesNothing(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	w, err := s.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	release := immutable(t, w.upper())
	if err := w.Commit(ctx, NewName()); !errors.Is(err, unix.EPERM) {
		t.Errorf("got %v, want that the tree cannot be moved", err)
	}
	release()
	if err := errors.Join(w.Discard(), l.Release()); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

func TestPruneEndsWithItsContext(t *testing.T) {
	s := openStore(t, Options{})
	mkdirs(t, s.path("trash", "a", "b"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Prune(ctx, PruneOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
	if left := leftovers(t, s.Root()); !slices.Equal(left, []string{"trash/a"}) {
		t.Errorf("left are %v, want what is in the trash", left)
	}
}

func TestNeighboursOfWhatCannotBeRemovedAreRemoved(t *testing.T) {
	tr := trash(t.TempDir())
	for i := range 20 {
		mkdirs(t, filepath.Join(string(tr), fmt.Sprintf("tree/%02d/sub", i)))
	}
	stays := filepath.Join(string(tr), "tree/10")
	release := immutable(t, stays)
	if err := tr.remove(t.Context(), "tree"); err == nil {
		t.Error("the tree could be removed")
	}
	if got, want := namesOf(t, filepath.Join(string(tr), "tree")), []string{"10"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	release()
	if err := tr.remove(t.Context(), "tree"); err != nil {
		t.Error(err)
	}
}
