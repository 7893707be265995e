package snapshot

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
)

// needRoot skips where no overlay can be mounted; with LBUILD_TEST_STRICT=1 that is a failure.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatal("missing: root, to mount overlays")
	}
	t.Skip("missing: root, to mount overlays")
}

// newRoot is a directory for a store, empty of mounts when the test ends.
func newRoot(t testing.TB) string {
	t.Helper()
	needRoot(t)
	root := t.TempDir()
	t.Cleanup(func() {
		if err := unmountBelow(root); err != nil {
			t.Error(err)
		}
	})
	return root
}

func openStore(t testing.TB, opts Options) *Store {
	t.Helper()
	if opts.Root == "" {
		opts.Root = newRoot(t)
	}
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newLease(t testing.TB, s *Store) (*Lease, context.Context) {
	t.Helper()
	l, err := s.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	})
	return l, l.Context(t.Context())
}

// step commits a workspace on parent in which edit was called.
func step(ctx context.Context, s *Store, parent string, edit func(dir string) error) (name string, err error) {
	w, err := s.Prepare(ctx, parent)
	if err != nil {
		return "", err
	}
	defer func() {
		if derr := w.Discard(); err == nil {
			err = derr
		}
	}()
	dir, err := w.Mount(ctx)
	if err != nil {
		return "", err
	}
	if err := edit(dir); err != nil {
		return "", err
	}
	name = NewName()
	return name, w.Commit(ctx, name)
}

func mustStep(t testing.TB, ctx context.Context, s *Store, parent string, edit func(dir string) error) string {
	t.Helper()
	name, err := step(ctx, s, parent, edit)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// write makes a file with its own name as content, and the directories above it.
func write(names ...string) func(dir string) error {
	return func(dir string) error {
		for _, name := range names {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

// listing is a tree as text: a line of mode, owner, name and content for each entry, in path order.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line, err := describe(dir, path, d)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func describe(root, path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	name, err := filepath.Rel(root, path)
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("%v %d:%d %s", info.Mode(), st.Uid, st.Gid, name)
	switch {
	case info.Mode().IsRegular():
		data, err := os.ReadFile(path)
		return line + " = " + string(data), err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return line + " -> " + target, err
	}
	return line, nil
}

// view is the listing of a snapshot.
func view(t testing.TB, ctx context.Context, s *Store, name string) string {
	t.Helper()
	v, err := s.View(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	return listing(t, v.Dir())
}

// leftovers lists what a root holds besides its databases: nothing if all was cleaned.
func leftovers(t testing.TB, root string) []string {
	t.Helper()
	var left []string
	for _, dir := range []string{"leases", "locks", "trash", "content/ingest", "content/blobs/sha256", "snapshots/snapshots"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			left = append(left, filepath.Join(dir, e.Name()))
		}
	}
	for _, kind := range []string{"trees", "blobs"} {
		unfinished, err := filepath.Glob(filepath.Join(root, "leases/*", kind, "*"))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, unfinished...)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		left = append(left, "mount "+m.Mountpoint)
	}
	slices.Sort(left)
	return left
}
