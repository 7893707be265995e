package snapshot

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A step can nest directories until nobody has as many files open as there are levels.
func TestTrashRemovesWhatIsTooDeepForAPath(t *testing.T) {
	dir := t.TempDir()
	nest(t, dir, 5000)
	for _, name := range []string{"wide", "empty"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2*fewNames + 1 {
		if err := os.Symlink("/", filepath.Join(dir, "wide", string(rune('一'+i)))); err != nil {
			t.Fatal(err)
		}
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 100, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	err := trash(dir).empty()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	left, readErr := os.ReadDir(dir)
	if err != nil || readErr != nil || len(left) > 0 {
		t.Errorf("%v, %v, left: %v", err, readErr, left)
	}
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
