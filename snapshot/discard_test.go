package snapshot

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const immutableFlag = 0x10 // FS_IMMUTABLE_FL of linux/fs.h

// immutable makes a file or directory that nobody can move or remove until the returned function is called, or the test ends.
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

// A tree that cannot be moved is one that cannot be frozen.
func TestCommitThatFailsLeavesNothing(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	w, err := s.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	release := immutable(t, w.upper())
	if _, err := w.Commit(ctx); !errors.Is(err, unix.EPERM) {
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
