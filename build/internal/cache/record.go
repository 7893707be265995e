// Package cache remembers what the nodes of builds made: which results a step had on the result below it, what selected
// files of a result hold, and which result is the top of a stack of layers.
//
// A result is taken only on the very result that it was made on. A step that ran twice on one result has two results, and
// both are remembered: what was made on one of them does not fit the other.
package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/snapshot"
)

// Result is what a step made.
type Result struct {
	ID      string    `json:"-"` // of its own in every store; a tree is the snapshot of that name
	Created time.Time `json:"-"`
	Seconds float64   `json:"seconds"` // that the step took

	// Encoding is that of the layer where it is all that is left of the step; "" where the store has the tree.
	Encoding string `json:"encoding,omitempty"`
	// Below is the snapshot that the layer lies on, Blob the layer, and Layer the key of its record, if it has one; only with Encoding. Lookup
	// does not set the last.
	Below string        `json:"-"`
	Blob  digest.Digest `json:"-"`
	Layer string        `json:"-"`
}

// HasTree tells whether the store has the tree.
func (r Result) HasTree() bool { return r.Encoding == "" }

// Cache keeps records in a store. It may be used from several goroutines and processes.
type Cache struct {
	store *snapshot.Store
}

// New gives the cache of a store.
func New(store *snapshot.Store) *Cache { return &Cache{store: store} }

// Lookup finds the results of a step on a result below, the newest first; below is "" for the empty tree. Under a lease
// that began before, they stay.
func (c *Cache) Lookup(ctx context.Context, key plan.Key, below string) ([]Result, error) {
	prefix := stepKey(key, below)
	records, err := c.store.Records(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("look up a step: %w", err)
	}
	var results []Result
	for _, r := range records {
		result := Result{ID: r.Key[len(prefix):], Created: r.Created}
		if json.Unmarshal(r.Data, &result) != nil {
			continue // what another version wrote, and this one cannot read, is as good as not there
		}
		if !result.HasTree() {
			result.Below, result.Blob = r.Snapshot, r.Blobs[0]
			ok, err := c.whole(ctx, result.Blob)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
		}
		results = append(results, result)
	}
	slices.SortStableFunc(results, func(a, b Result) int { return b.Created.Compare(a.Created) })
	return results, nil
}

// whole tells whether a blob is there with the bytes of its digest.
func (c *Cache) whole(ctx context.Context, d digest.Digest) (bool, error) {
	err := c.store.VerifyBlob(ctx, ocispec.Descriptor{Digest: d})
	if errdefs.IsNotFound(err) || errdefs.IsDataLoss(err) {
		return false, nil
	}
	return err == nil, err
}

// Record is what Lookup finds the result by. It is to be put together with the tree, or with the layer that is all of it.
func Record(key plan.Key, below string, r Result) (snapshot.Record, error) {
	record := snapshot.Record{Key: RecordKey(key, below, r.ID), Snapshot: r.ID, Created: r.Created}
	if !r.HasTree() {
		record.Snapshot, record.Blobs = r.Below, []digest.Digest{r.Blob}
		if r.Layer != "" {
			record.Needs = []string{r.Layer}
		}
	}
	return encode(record, r)
}

// RecordKey is the key of the record of a result. Others may need it.
func RecordKey(key plan.Key, below, id string) string { return stepKey(key, below) + id }

// Forget removes the record of a result that cannot be had any more.
func (c *Cache) Forget(ctx context.Context, key plan.Key, below, id string) error {
	return c.store.DeleteRecord(ctx, RecordKey(key, below, id))
}

// Seen tells whether an instruction of these words was ever recorded: without that, a lookup cannot find any.
func (c *Cache) Seen(ctx context.Context, text plan.Key) (bool, error) {
	var seen bool
	return c.get(ctx, textKey(text), &seen)
}

// SeenRecord is what Seen finds. It goes with the record of the result that it was put with.
func SeenRecord(text plan.Key, result snapshot.Record) snapshot.Record {
	return snapshot.Record{Key: textKey(text), Needs: []string{result.Key}, Data: []byte("true")}
}

// Content finds the digest of files of a result. The tree need not be there.
func (c *Cache) Content(ctx context.Context, id string, selection plan.Key) (d digest.Digest, ok bool, _ error) {
	ok, err := c.get(ctx, contentKey(id, selection), &d)
	return d, ok, err
}

// KeepContent remembers the digest of files of a result, as long as the record of the key is there; "": that of an image,
// which needs none.
func (c *Cache) KeepContent(ctx context.Context, id, recordKey string, selection plan.Key, d digest.Digest) error {
	record, err := encode(snapshot.Record{Key: contentKey(id, selection)}, d)
	if err != nil {
		return err
	}
	if recordKey != "" {
		record.Needs = []string{recordKey}
	}
	if err := c.store.PutRecord(ctx, record); !errdefs.IsNotFound(err) {
		return err
	}
	return nil // a prune has taken what it needs
}

// Top is the result whose layers, with those below, are a stack.
type Top struct {
	Result  string `json:"result"`
	Clamped bool   `json:"clamped,omitempty"` // some times in the layers are an epoch, and not those in the tree
}

// Chain finds the result that is the top of a stack of layers, by the stack's chain-id. Where its times are clamped, the
// layers unpack to another tree than it has.
func (c *Cache) Chain(ctx context.Context, id digest.Digest) (top Top, ok bool, _ error) {
	ok, err := c.get(ctx, chainKey(id), &top)
	return top, ok, err
}

// KeepChains remembers the results with a tree that are the tops of stacks of layers, but those that are known already.
func (c *Cache) KeepChains(ctx context.Context, tops map[digest.Digest]Top) error {
	var records []snapshot.Change
	for id, top := range tops {
		if _, ok, err := c.Chain(ctx, id); err != nil {
			return err
		} else if ok {
			continue
		}
		record, err := encode(snapshot.Record{Key: chainKey(id), Snapshot: top.Result}, top)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	return c.store.PutRecords(ctx, records...)
}

func stepKey(key plan.Key, below string) string {
	return "step/" + string(plan.NewKey(string(key), below)) + "/"
}

func textKey(text plan.Key) string { return "text/" + string(text) }

func contentKey(id string, selection plan.Key) string {
	return "content/" + id + "/" + string(selection)
}

func chainKey(id digest.Digest) string { return "chain/" + string(id) }

func (c *Cache) get(ctx context.Context, key string, into any) (bool, error) {
	r, err := c.store.Record(ctx, key)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", key, err)
	}
	return json.Unmarshal(r.Data, into) == nil, nil
}

func encode(r snapshot.Record, value any) (snapshot.Record, error) {
	var err error
	if r.Data, err = json.Marshal(value); err != nil {
		return r, fmt.Errorf("encode %s: %w", r.Key, err)
	}
	return r, nil
}
