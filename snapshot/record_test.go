package snapshot

import (
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

func storedKeys(t testing.TB, s *Store) (keys []string) {
	t.Helper()
	if err := s.meta.View(func(tx *bolt.Tx) error { keys = recordKeys(tx, ""); return nil }); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestRecordKeepsWhatItNames(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	base := mustStep(t, ctx, s, "", write("a"))
	kept := mustStep(t, ctx, s, base, write("b"))
	lost := mustStep(t, ctx, s, base, write("c"))
	blob, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), nil)
	if err != nil {
		t.Fatal(err)
	}
	put := Record{Key: "k", Snapshot: kept, Blobs: []digest.Digest{blob.Digest}, Data: []byte("data")}
	if err := s.PutRecord(ctx, put); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Record(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	put.Created = got.Created
	if diff := cmp.Diff(put, got); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]bool{base: true, kept: true, lost: false} {
		if got, err := s.Exists(t.Context(), name); err != nil || got != want {
			t.Errorf("exists %s: %v, %v", name, got, err)
		}
	}
	if err := s.VerifyBlob(t.Context(), blob); err != nil {
		t.Error(err)
	}
}

func TestRecordIsMissingWhenWhatItNamesIs(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	if _, err := s.Record(ctx, "none"); !errdefs.IsNotFound(err) {
		t.Errorf("no record: %v", err)
	}
	if err := s.PutRecord(ctx, Record{Key: "k", Snapshot: "none"}); !errdefs.IsNotFound(err) {
		t.Errorf("put a record of a snapshot that is not there: %v", err)
	}
	blob, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutRecord(ctx, Record{Key: "k", Blobs: []digest.Digest{blob.Digest}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Content().Delete(ctx, blob.Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Record(ctx, "k"); !errdefs.IsNotFound(err) {
		t.Errorf("record of a blob that is gone: %v", err)
	}
}

// What a live build may have read is kept, however its name is lost.
func TestLiveLeaseKeepsWhatLosesItsName(t *testing.T) {
	for name, drop := range map[string]func(t *testing.T, s *Store){
		"prune": func(t *testing.T, s *Store) {
			if _, err := s.Prune(t.Context(), PruneOptions{All: true}); err != nil {
				t.Fatal(err)
			}
		},
		"delete": func(t *testing.T, s *Store) {
			if err := s.DeleteRecord(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			if err := s.Images().Delete(t.Context(), "image"); err != nil {
				t.Fatal(err)
			}
		},
		"replace": func(t *testing.T, s *Store) {
			if err := s.PutRecord(t.Context(), Record{Key: "k"}); err != nil {
				t.Fatal(err)
			}
			if err := s.Images().Delete(t.Context(), "image"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(t)
			s, other := openStore(t, Options{Root: root}), openStore(t, Options{Root: root})
			snapshot, blob := nameTwoThings(t, s)
			live, ctx := newLease(t, s)

			drop(t, other)
			if err := other.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := view(t, ctx, s, snapshot); got == "" {
				t.Error("snapshot is gone")
			}
			if _, err := s.Content().Info(ctx, blob); err != nil {
				t.Error(err)
			}
			if err := live.Release(); err != nil {
				t.Fatal(err)
			}
			if err := other.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := leftovers(t, root); len(left) > 0 {
				t.Error(left)
			}
		})
	}
}

// nameTwoThings makes a snapshot that a record names and a blob that an image names, under a lease that has ended.
func nameTwoThings(t *testing.T, s *Store) (string, digest.Digest) {
	t.Helper()
	l, ctx := newLease(t, s)
	snapshot := mustStep(t, ctx, s, "", write("a"))
	if err := s.PutRecord(ctx, Record{Key: "k", Snapshot: snapshot}); err != nil {
		t.Fatal(err)
	}
	blob, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Images().Create(ctx, images.Image{Name: "image", Target: blob}); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	return snapshot, blob.Digest
}

func TestPruneCountsWhatItRemoves(t *testing.T) {
	s := openStore(t, Options{})
	nameTwoThings(t, s)
	report, err := s.Prune(t.Context(), PruneOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if report.Bytes <= 0 {
		t.Errorf("%d bytes", report.Bytes)
	}
	report.Bytes = 0
	if diff := cmp.Diff(PruneReport{Snapshots: 1, Blobs: 1, Records: 1}, report); diff != "" {
		t.Error(diff)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

func TestPruneKeepsImagesUnlessAll(t *testing.T) {
	s := openStore(t, Options{})
	snapshot, blob := nameTwoThings(t, s)
	if _, err := s.Prune(t.Context(), PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Exists(t.Context(), snapshot); ok || err != nil {
		t.Errorf("snapshot without a record exists: %v, %v", ok, err)
	}
	if _, err := s.Content().Info(t.Context(), blob); err != nil {
		t.Errorf("blob of an image: %v", err)
	}
}
