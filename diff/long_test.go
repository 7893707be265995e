package diff_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/diff"
	"golang.org/x/sys/unix"
)

// TestUpperWalksPathsLongerThanASystemCallTakes has one tree of 500 levels, and paths around the limit of 4,096 bytes.
func TestUpperWalksPathsLongerThanASystemCallTakes(t *testing.T) {
	trees := [][]string{slices.Repeat([]string{strings.Repeat("n", 20)}, 500)}
	for length := unix.PathMax - 4; length < unix.PathMax+4; length++ {
		dirs := slices.Repeat([]string{strings.Repeat("n", 240)}, 16)
		trees = append(trees, append(dirs, strings.Repeat("m", length-16*241-len("/f"))))
	}
	for _, dirs := range trees {
		opts := diff.UpperOptions{Upper: t.TempDir()}
		makeDeep(t, opts.Upper, dirs)
		var last diff.Change
		for c, err := range diff.Upper(context.Background(), opts) {
			if err != nil {
				t.Fatal(err)
			}
			last = c
		}
		r, err := last.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if string(got) != "deep" || errors.Join(err, r.Close()) != nil || last.Path != strings.Join(dirs, "/")+"/f" {
			t.Errorf("content of a path with %d bytes is %q, %v", len(last.Path), got, err)
		}
	}
}

// makeDeep makes directories, each in the one before, and a file in the last. It goes by steps, because no system call
// takes the whole path.
func makeDeep(t *testing.T, root string, dirs []string) {
	t.Helper()
	at, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range dirs {
		if err := at.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := at.OpenRoot(name)
		if err := errors.Join(err, at.Close()); err != nil {
			t.Fatal(err)
		}
		at = next
	}
	if err := errors.Join(at.WriteFile("f", []byte("deep"), 0o644), at.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestUpperWalksAWideDirectoryInOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 100,000 files")
	}
	const count = 100_000
	opts := diff.UpperOptions{Upper: t.TempDir()}
	for i := range count {
		if err := unix.Mknod(fmt.Sprintf("%s/f%06d", opts.Upper, i), unix.S_IFREG|0o644, 0); err != nil {
			t.Fatal(err)
		}
	}
	next := -1 // the root
	for c, err := range diff.Upper(context.Background(), opts) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("f%06d", next); next >= 0 && c.Path != want {
			t.Fatalf("told %s, want %s", c.Path, want)
		}
		next++
	}
	if next != count {
		t.Errorf("told %d files, want %d", next, count)
	}
}
