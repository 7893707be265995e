package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenSaysWhatIsWrongWithTheRoot(t *testing.T) {
	needRoot(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for root, want := range map[string]string{
		"":                           "no root directory given",
		file:                         "not a directory",
		filepath.Join(file, "below"): "not a directory",
		t.TempDir() + "/with:colon":  "overlay mounts cannot have",
		"/proc/lbuild":               "create",
	} {
		_, err := Open(t.Context(), Options{Root: root})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("open %q: got %v, want one line with %q", root, err, want)
		}
	}
}

func TestOpenCreatesAPrivateRoot(t *testing.T) {
	s := openStore(t, Options{Root: filepath.Join(newRoot(t), "a/b")})
	info, err := os.Stat(s.Root())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestOpenOfMany(t *testing.T) {
	root := newRoot(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), Options{Root: root})
			if err != nil {
				t.Error(err)
				return
			}
			l, err := s.Lease(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := step(l.Context(t.Context()), s, "", write("a")); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A directory that has the number of the next snapshot is what a kill between two writes leaves.
func TestPrepareMovesAnOrphanOutOfTheWay(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	name := mustStep(t, ctx, s, "", write("a"))
	dirs, err := s.Dirs(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Base(filepath.Dir(dirs.Upper)); got != "1" {
		t.Fatalf("first snapshot has number %s", got)
	}
	if err := write("2/fs/orphan", "new-123/fs/orphan")(s.snapshotterDB.dirs); err != nil {
		t.Fatal(err)
	}
	next := mustStep(t, ctx, s, "", write("b"))
	if got := namesIn(t, ctx, s, next); got != "b" {
		t.Errorf("holds %s", got)
	}
	if err := s.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.snapshotterDB.dirs)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestFullDiskIsAnErrorAndLeavesNothing(t *testing.T) {
	root := newRoot(t)
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, Options{Root: root})
	l, ctx := newLease(t, s)
	full := func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "big"), make([]byte, 16<<20), 0o600)
	}
	if _, err := step(ctx, s, "", full); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("step: %v", err)
	}
	if _, err := s.WriteBlob(ctx, "text/plain", make([]byte, 16<<20), nil); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("blob: %v", err)
	}
	// There is room again at once.
	if _, err := step(ctx, s, "", write("small")); err != nil {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(leftovers(t, root), func(l string) bool { return l == "mount "+root })
	if len(left) > 0 {
		t.Error(left)
	}
}
