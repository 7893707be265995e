package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/storetest"
	"github.com/lbuild/lbuild/snapshot"
)

// newCache opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newCache(t *testing.T) (*Cache, context.Context) {
	t.Helper()
	store := storetest.Open(t)
	return New(store), storetest.Lease(t, store)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree freezes an empty tree on another one.
func (c *Cache) tree(ctx context.Context, t *testing.T, below string) string {
	t.Helper()
	ws, err := c.store.Prepare(ctx, below)
	must(t, err)
	name := snapshot.NewName()
	must(t, ws.Commit(ctx, name))
	return name
}

func (c *Cache) keep(ctx context.Context, t *testing.T, key plan.Key, below string, r Result) {
	t.Helper()
	record, err := Record(key, below, r)
	must(t, err)
	must(t, c.store.PutRecord(ctx, record))
}

// found lists the results of a step by their ids, with what else is known of them.
func (c *Cache) found(ctx context.Context, t *testing.T, key plan.Key, below string) []Result {
	t.Helper()
	results, err := c.Lookup(ctx, key, below)
	must(t, err)
	return results
}

func checkResults(t *testing.T, what string, got []Result, want ...Result) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var key, otherKey = plan.NewKey("a"), plan.NewKey("b")

func TestAllResultsOfAStepOnItsTreeAreFoundTheNewestFirst(t *testing.T) {
	c, ctx := newCache(t)
	below, other := c.tree(ctx, t, ""), c.tree(ctx, t, "")
	at := time.Unix(1000, 0).UTC()
	var results []Result
	for i, on := range []string{below, below, below, other, ""} {
		r := Result{ID: c.tree(ctx, t, on), Created: at.Add(time.Duration([]int{1, 3, 2, 9, 9}[i]) * time.Second), Seconds: float64(i) + 0.5}
		c.keep(ctx, t, key, on, r)
		results = append(results, r)
	}
	checkResults(t, "on a tree", c.found(ctx, t, key, below), results[1], results[2], results[0])
	checkResults(t, "on another", c.found(ctx, t, key, other), results[3])
	checkResults(t, "on none", c.found(ctx, t, key, ""), results[4])
	checkResults(t, "of another step", c.found(ctx, t, otherKey, below))
	checkResults(t, "on what nobody made", c.found(ctx, t, key, "x"))

	must(t, c.Forget(ctx, key, below, results[1].ID))
	checkResults(t, "after one is forgotten", c.found(ctx, t, key, below), results[2], results[0])
	must(t, c.Forget(ctx, key, below, results[1].ID))
	checkResults(t, "of the others", c.found(ctx, t, key, other), results[3])
}

func TestAResultThatIsOnlyALayerIsFoundWhileItsBlobIsWhole(t *testing.T) {
	c, ctx := newCache(t)
	below := c.tree(ctx, t, "")
	blob := func(text string) digest.Digest {
		desc, err := c.store.WriteBlob(ctx, "", []byte(text), nil)
		must(t, err)
		return desc.Digest
	}
	at := time.Unix(1000, 0).UTC()
	whole := Result{ID: "whole", Created: at, Seconds: 2, Encoding: "gzip", Below: below, Blob: blob("whole")}
	damaged := Result{ID: "damaged", Created: at.Add(1), Encoding: "gzip", Below: below, Blob: blob("damaged")}
	tree := Result{ID: c.tree(ctx, t, below), Created: at.Add(-1)}
	for _, r := range []Result{whole, damaged, tree} {
		c.keep(ctx, t, key, below, r)
	}
	checkResults(t, "all whole", c.found(ctx, t, key, below), damaged, whole, tree)
	path := filepath.Join(c.store.Root(), "content/blobs/sha256", damaged.Blob.Encoded())
	must(t, errors.Join(os.Remove(path), os.WriteFile(path, []byte("changed"), 0o444)))
	checkResults(t, "one damaged", c.found(ctx, t, key, below), whole, tree)

	// The tree that is unpacked from a layer takes its place.
	unpacked := whole
	unpacked.ID, unpacked.Encoding = tree.ID, ""
	c.keep(ctx, t, otherKey, below, Result{ID: tree.ID, Created: at, Encoding: "gzip", Below: below, Blob: whole.Blob})
	c.keep(ctx, t, otherKey, below, unpacked)
	checkResults(t, "unpacked", c.found(ctx, t, otherKey, below), Result{ID: tree.ID, Created: at, Seconds: 2})
}

func TestARecordOfAnotherVersionIsNotFound(t *testing.T) {
	c, ctx := newCache(t)
	must(t, c.store.PutRecord(ctx, snapshot.Record{Key: stepKey(key, "") + "x", Data: []byte("?")}))
	checkResults(t, "results", c.found(ctx, t, key, ""))
}

func TestWordsAreSeenOnceTheyWereRecorded(t *testing.T) {
	c, ctx := newCache(t)
	result := snapshot.Record{Key: "result"}
	must(t, c.store.PutRecord(ctx, result))
	for _, want := range []bool{false, true} {
		if seen, err := c.Seen(ctx, key); err != nil || seen != want {
			t.Errorf("seen: %t, %v; want %t", seen, err, want)
		}
		must(t, c.store.PutRecord(ctx, SeenRecord(key, result)))
	}
	must(t, c.store.DeleteRecord(ctx, result.Key))
	if seen, err := c.Seen(ctx, key); err != nil || seen {
		t.Errorf("after the result is gone: seen: %t, %v", seen, err)
	}
	if seen, err := c.Seen(ctx, otherKey); err != nil || seen {
		t.Errorf("others are seen: %t, %v", seen, err)
	}
}

func TestContentIsKnownByResultAndSelection(t *testing.T) {
	c, ctx := newCache(t)
	must(t, c.KeepContent(ctx, "a", "", key, "sha256:1"))
	must(t, c.KeepContent(ctx, "b", "pruned meanwhile", key, "sha256:2"))
	for _, test := range []struct {
		id        string
		selection plan.Key
		want      digest.Digest
	}{{"a", key, "sha256:1"}, {"a", otherKey, ""}, {"b", key, ""}} {
		if d, ok, err := c.Content(ctx, test.id, test.selection); err != nil || ok != (test.want != "") || d != test.want {
			t.Errorf("%s %s: %q, %t, %v", test.id, test.selection, d, ok, err)
		}
	}
}

func TestAChainHasTheResultThatWasFirst(t *testing.T) {
	c, ctx := newCache(t)
	first, second := c.tree(ctx, t, ""), c.tree(ctx, t, "")
	must(t, c.KeepChains(ctx, map[digest.Digest]Top{"plain": {Result: first}, "clamped": {Result: first, Clamped: true}}))
	must(t, c.KeepChains(ctx, map[digest.Digest]Top{"plain": {Result: second}, "other": {Result: second}}))
	for id, want := range map[digest.Digest]Top{
		"plain": {Result: first}, "clamped": {Result: first, Clamped: true}, "other": {Result: second}, "none": {},
	} {
		if top, ok, err := c.Chain(ctx, id); err != nil || ok != (want.Result != "") || top != want {
			t.Errorf("%s: %+v, %t, %v; want %+v", id, top, ok, err, want)
		}
	}
}
