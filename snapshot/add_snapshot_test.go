package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

func TestWorkspaceIsCommittedWithItsRecordsOrNotAtAll(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	name := NewName()
	commit := func(name string, records ...Change) error {
		w, err := s.Prepare(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		err = w.Commit(ctx, name, records...)
		if derr := w.Discard(); derr != nil {
			t.Error(derr)
		}
		return err
	}
	if err := commit(name, Record{Key: "a", Snapshot: name}, Record{Key: "b", Snapshot: name}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if r, err := s.Record(ctx, key); err != nil || r.Snapshot != name {
			t.Errorf("record %s names %q, want %q: %v", key, r.Snapshot, name, err)
		}
	}
	missing := []digest.Digest{digest.FromString("missing")}
	if err := commit(NewName(), Record{Key: "c"}, Record{Key: "d", Blobs: missing}); !errdefs.IsNotFound(err) {
		t.Errorf("a record of a blob that is missing: %v", err)
	}
	if _, err := s.Record(ctx, "c"); !errdefs.IsNotFound(err) {
		t.Errorf("the record before it: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, s.Root()); len(left) != 1 {
		t.Errorf("left are %v, want the one snapshot", left)
	}
}

func TestBlobIsCommittedWithItsRecordsOrNotAtAll(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	d := digest.FromString("blob")
	for _, test := range []struct {
		record Record
		want   bool
	}{
		{Record{Key: "bad", Snapshot: "missing", Blobs: []digest.Digest{d}}, false},
		{Record{Key: "new", Blobs: []digest.Digest{d}}, true},
		{Record{Key: "known", Blobs: []digest.Digest{d}}, true},
	} {
		b, err := s.NewBlob(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write([]byte("blob")); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(ctx, 4, d, nil, test.record); (err == nil) != test.want {
			t.Errorf("%s: %v", test.record.Key, err)
		}
		if _, err := s.Record(ctx, test.record.Key); (err == nil) != test.want {
			t.Errorf("%s: record: %v", test.record.Key, err)
		}
		if _, err := s.Content().Info(ctx, d); (err == nil) != test.want {
			t.Errorf("%s: blob: %v", test.record.Key, err)
		}
	}
}

// A transaction that fails between the two databases is what a killed process leaves to one that waits for its lock.
func TestALayerThatOnlyTheSnapshotterKnowsIsTaken(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	killed := errors.New("killed")
	for _, want := range []error{killed, errdefs.ErrAlreadyExists} {
		dir, err := l.directory("trees")
		if err != nil {
			t.Fatal(err)
		}
		if err := write("fs/a")(dir); err != nil {
			t.Fatal(err)
		}
		err = s.transact(ctx, func(ctx context.Context, _ *bolt.Tx) error {
			if err := s.addSnapshot(ctx, "sha256:layer", "", &newTree{upper: filepath.Join(dir, "fs")}); err != nil {
				return err
			}
			return killed
		})
		if !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	if err := s.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	dirs, err := s.Dirs(ctx, "sha256:layer")
	if err != nil {
		t.Fatal(err)
	}
	if !exists(filepath.Join(dirs.Upper, "a")) {
		t.Errorf("%s has lost its file", dirs.Upper)
	}
}

// The kernel tells one caller only that it lost bytes, which may be another's.
func TestAfterAFailedSyncNoLargeTreeIsCommitted(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	var names []string
	for i := range 2 * fewPaths {
		names = append(names, fmt.Sprint("f", i))
	}
	works := s.rootFile
	broken, err := os.Open(s.Root())
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	s.rootFile = broken
	if _, err := step(ctx, s, "", write(names...)); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v, want that syncing fails", err)
	}
	s.rootFile = works
	if name, err := step(ctx, s, "", write(names...)); !errors.Is(err, unix.EBADF) {
		t.Errorf("got snapshot %q and %v, want that it fails as before", name, err)
	}
	if _, err := step(ctx, s, "", write("small")); err != nil {
		t.Errorf("a tree whose files are synced one by one: %v", err)
	}
}

func TestSurveyMeasuresAsContainerdDoes(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a", "b/c", "b/d/e"}
	if err := write(names...)(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "symlink")); err != nil {
		t.Fatal(err)
	}
	want, err := fs.DiskUsage(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := measureTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fs.Usage(got.usage)); diff != "" {
		t.Error(diff)
	}
	// Three directories, three files and a second name of one; a symbolic link lies in its directory.
	if got.many || len(got.paths) != 7 {
		t.Errorf("many %v, paths %v", got.many, got.paths)
	}
	for i := range fewPaths {
		if err := write(filepath.Join("many", string(rune('a'+i))))(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = measureTree(t.Context(), dir); err != nil || !got.many {
		t.Errorf("many %v, %v", got.many, err)
	}
}
