package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

// putRaw stores bytes as a record.
func putRaw(t *testing.T, s *Store, where []string, key, data string) {
	t.Helper()
	err := s.meta.Update(func(tx *bolt.Tx) error {
		b, err := createBucket(tx, where...)
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(data))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecordsInAnotherFormKeepNothing(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	kept := mustStep(t, ctx, s, "", write("kept"))
	blob, err := s.WriteBlob(ctx, "text/plain", []byte("blob"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutRecord(ctx, Record{Key: "kept", Snapshot: kept, Blobs: []digest.Digest{blob.Digest}}); err != nil {
		t.Fatal(err)
	}
	form := func(version int) string {
		return fmt.Sprintf(`{"Version":%d,"Key":"k","Snapshot":%q}`, version, mustStep(t, ctx, s, "", write("a")))
	}
	putRaw(t, s, oldRecordsBucket, "k", form(0))
	putRaw(t, s, recordsBucket, "newer", form(3))
	putRaw(t, s, recordsBucket, "moved", form(2))
	putRaw(t, s, recordsBucket, "types", `{"Version":2,"Key":"types","Snapshot":{}}`)
	putRaw(t, s, recordsBucket, "broken", `{`)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}

	s = openStore(t, Options{Root: s.Root()})
	for _, key := range []string{"k", "newer", "moved", "types", "broken"} {
		if _, err := s.Record(t.Context(), key); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := s.DeleteRecord(t.Context(), "broken"); err != nil {
		t.Error(err)
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := storedKeys(t, s); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("records %v", got)
	}
	_ = s.meta.View(func(tx *bolt.Tx) error {
		if bucket(tx, oldRecordsBucket...) != nil {
			t.Error("the old bucket is there")
		}
		return nil
	})
	if left := leftovers(t, s.Root()); len(left) != 2 {
		t.Errorf("left are %v, want one snapshot and one blob", left)
	}
}

func TestPruneRemovesRecordsThatCannotBeRead(t *testing.T) {
	s := openStore(t, Options{})
	putRaw(t, s, recordsBucket, "broken", `{`)
	if _, err := s.Prune(t.Context(), PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := storedKeys(t, s); len(got) > 0 {
		t.Errorf("records %v", got)
	}
}

func TestRecordNeedsOthers(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	top := mustStep(t, ctx, s, "", write("top"))
	if err := s.PutRecord(ctx, Record{Key: "top", Needs: []string{"none"}}); !errdefs.IsNotFound(err) {
		t.Errorf("put a record that needs one that is not there: %v", err)
	}
	err := s.PutRecords(ctx,
		Record{Key: "bottom"},
		Record{Key: "middle", Needs: []string{"bottom"}},
		Record{Key: "top", Snapshot: top, Needs: []string{"middle"}},
		Record{Key: "other"},
		Record{Key: "bottom", Needs: []string{"top"}}, // a circle
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Release(), s.Collect(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Record(t.Context(), "top"); err != nil {
		t.Error(err)
	}
	live, ctx := newLease(t, s)
	if err := s.DeleteRecord(t.Context(), "bottom"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"middle", "top"} {
		if _, err := s.Record(t.Context(), key); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := storedKeys(t, s); !slices.Equal(got, []string{"other"}) {
		t.Errorf("records %v", got)
	}
	if got := namesIn(t, ctx, s, top); got != "top" {
		t.Errorf("a live lease lost what it may use: %s", got)
	}
	if err := errors.Join(live.Release(), s.Collect(t.Context())); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

// addName is how an engine lists the results of a step.
func addName(name string) func(Record, bool) (Record, error) {
	return func(old Record, _ bool) (Record, error) {
		old.Data = append(old.Data, name+" "...)
		return old, nil
	}
}

func TestWorkspaceIsCommittedWithAnUpdate(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	for _, name := range []string{"one", "two"} {
		w, err := s.Prepare(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		err = w.Commit(ctx, name, Record{Key: "result/" + name, Snapshot: name}, Update{"step/k", addName(name)})
		if err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Record(ctx, "step/k"); err != nil || string(r.Data) != "one two " {
		t.Errorf("got %q, %v", r.Data, err)
	}
	if err := s.DeleteRecord(ctx, "result/one"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Release(), s.Collect(t.Context())); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"one": false, "two": true} {
		if got, err := s.Exists(t.Context(), name); err != nil || got != want {
			t.Errorf("exists %s: %v, %v", name, got, err)
		}
	}
	if r, err := s.Record(t.Context(), "step/k"); err != nil || string(r.Data) != "one two " {
		t.Errorf("got %q, %v", r.Data, err)
	}
}

func TestCommitThatFailsCanBeRepeated(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	known := mustStep(t, ctx, s, "", write("known"))
	w, err := s.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Discard(); err != nil {
			t.Error(err)
		}
	}()
	dir, err := w.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := write("mine")(dir); err != nil {
		t.Fatal(err)
	}
	refuse := func(Record, bool) (Record, error) {
		return Record{}, fmt.Errorf("refused: %w", errdefs.ErrAlreadyExists)
	}
	name := NewName()
	for _, try := range []struct {
		name   string
		change Change
		want   error
	}{
		{"", Record{Key: "k"}, errdefs.ErrInvalidArgument},
		{known, Record{Key: "k"}, errdefs.ErrAlreadyExists},
		{name, Record{Key: "k", Needs: []string{"none"}}, errdefs.ErrNotFound},
		{name, Update{"k", refuse}, errdefs.ErrAlreadyExists},
	} {
		if err := w.Commit(ctx, try.name, Record{Key: "before"}, try.change); !errors.Is(err, try.want) {
			t.Errorf("commit as %q: got %v, want %v", try.name, err, try.want)
		}
		if got := storedKeys(t, s); len(got) > 0 {
			t.Errorf("commit as %q: records %v", try.name, got)
		}
	}
	if err := w.Commit(ctx, name); err != nil {
		t.Fatal(err)
	}
	if got := namesIn(t, ctx, s, name) + " " + namesIn(t, ctx, s, known); got != "mine known" {
		t.Errorf("got %s", got)
	}
}

func TestUpdatesLoseNothing(t *testing.T) {
	root := newRoot(t)
	var wg sync.WaitGroup
	const writers, rounds = 4, 10
	for i := range writers {
		s := openStore(t, Options{Root: root})
		wg.Go(func() {
			for n := range rounds {
				if err := s.UpdateRecord(t.Context(), "k", addName(fmt.Sprint(i, "-", n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := openStore(t, Options{Root: root})
	r, err := s.Record(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(r.Data)))))); got != writers*rounds {
		t.Errorf("%d names of %d", got, writers*rounds)
	}
}
