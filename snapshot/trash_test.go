package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A step can nest directories until nobody has as many files open as there are levels.
func TestTrashRemovesWhatIsTooDeepForAPath(t *testing.T) {
	for name, remove := range map[string]func(trash) error{
		"all": func(tr trash) error { return tr.empty(t.Context()) },
		"some": func(tr trash) error {
			return tr.remove(t.Context(), "a-name-of-some-length", "wide", "empty", "gone", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			nest(t, dir, 5000)
			mkdirs(t, filepath.Join(dir, "wide"), filepath.Join(dir, "empty"))
			for i := range 2*fewNames + 1 {
				if err := os.Symlink("/", filepath.Join(dir, "wide", string(rune('一'+i)))); err != nil {
					t.Fatal(err)
				}
			}
			err := withFewFiles(t, func() error { return remove(trash(dir)) })
			if left := namesOf(t, dir); err != nil || len(left) > 0 {
				t.Errorf("%v, left: %v", err, left)
			}
		})
	}
}

// withFewFiles runs fn while this process may have few files open.
func withFewFiles(t *testing.T, fn func() error) error {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 100, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	return fn()
}

func TestTrashIsEmptiedUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, remove := range map[string]func(trash) error{
		"all":  func(tr trash) error { return tr.empty(ctx) },
		"some": func(tr trash) error { return tr.remove(ctx, "a") },
		"one":  func(tr trash) error { return removeOne(ctx, tr, "a") },
	} {
		dir := t.TempDir()
		mkdirs(t, filepath.Join(dir, "a", "b"))
		if err := remove(trash(dir)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want that it was canceled", name, err)
		}
		if left := namesOf(t, filepath.Join(dir, "a")); !slices.Equal(left, []string{"b"}) {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func removeOne(ctx context.Context, tr trash, name string) (err error) {
	top, err := os.OpenRoot(string(tr))
	if err != nil {
		return err
	}
	defer closeInto(&err, top)
	return newRemoval(top).remove(ctx, name)
}

func mkdirs(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func namesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// nest makes so many directories, each in the last one.
func nest(t *testing.T, dir string, levels int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for i := 0; i < levels && err == nil; i++ {
		var next int
		if err = unix.Mkdirat(at, "a-name-of-some-length", 0o755); err == nil {
			next, err = unix.Openat(at, "a-name-of-some-length", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		}
		if err == nil {
			err = unix.Close(at)
		}
		at = next
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(at); err != nil {
		t.Fatal(err)
	}
}
