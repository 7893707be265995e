package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/snapshot"
)

// Step is what a step made.
type Step struct {
	Snapshot string    `json:"-"`
	Created  time.Time `json:"-"`
	Seconds  float64   `json:"seconds"` // that the step took
	Bare     *Bare     `json:"bare,omitempty"`
}

// Bare says how the tree of a step is kept that made only a layer, over the snapshot that the step stands on.
type Bare struct {
	Name    string `json:"name"`    // of the tree, under which the layer is recorded
	Variant string `json:"variant"` // of the layer
	Epoch   string `json:"epoch"`   // that the times in the layer were clamped to; "" for none
}

// Layer is a packed snapshot.
type Layer struct {
	layer.Result
	Seconds        float64 `json:"pack_seconds"`
	Unchanged      int     `json:"unchanged,omitempty"` // files that were left out because they did not change
	UnchangedBytes int64   `json:"unchanged_bytes,omitempty"`
	ReusedBytes    int64   `json:"-"` // of the blob, taken from blobs that were there when it was packed
}

// Descriptor is the layer's blob as a manifest names it.
func (l Layer) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}
}

// Cache keeps steps and layers in a store. It may be used from several goroutines and processes; the last writer of a
// key wins, and all writers of a key are right.
type Cache struct {
	store *snapshot.Store
}

// New gives the cache of a store.
func New(store *snapshot.Store) *Cache { return &Cache{store: store} }

// Step finds what a finished step made. ok is false when nothing usable is recorded.
func (c *Cache) Step(ctx context.Context, key Key) (_ Step, ok bool, _ error) {
	var step Step
	r, ok, err := c.get(ctx, "step/"+string(key), &step)
	if err != nil || !ok {
		return Step{}, false, err
	}
	step.Snapshot, step.Created = r.Snapshot, r.Created
	if step.Bare != nil {
		step.Snapshot = step.Bare.Name
	}
	return step, true, nil
}

// Freeze ends the workspace of a step that is done and records what it made, and that its shape was seen unless that is
// "", in one transaction. It sets step.Snapshot.
func (c *Cache) Freeze(ctx context.Context, ws *snapshot.Workspace, key, shape Key, step Step) (Step, error) {
	step.Snapshot = snapshot.NewName()
	r := snapshot.Record{Key: "step/" + string(key), Snapshot: step.Snapshot, Created: step.Created}
	if err := encode(&r, step); err != nil {
		return step, err
	}
	return step, ws.Commit(ctx, step.Snapshot, append(shapeRecords(shape, step.Snapshot, nil), r)...)
}

// Layer finds the layer that a snapshot was packed as. ok is false when it was not packed this way, or when its blob
// is gone or no longer has the bytes of its digest.
func (c *Cache) Layer(ctx context.Context, name, variant string) (_ Layer, ok bool, _ error) {
	var l Layer
	_, ok, err := c.get(ctx, layerKey(name, variant), &l)
	if err != nil || !ok {
		return Layer{}, false, err
	}
	if l.Entries == 0 {
		return l, true, nil
	}
	err = c.store.VerifyBlob(ctx, l.Descriptor())
	if errdefs.IsNotFound(err) || errdefs.IsDataLoss(err) {
		return Layer{}, false, nil
	}
	return l, err == nil, err
}

// PutLayer records how a snapshot was packed. Its blob must be whole.
func (c *Cache) PutLayer(ctx context.Context, name, variant string, l Layer) error {
	r, err := layerRecord(name, variant, l)
	if err != nil {
		return err
	}
	return c.store.PutRecord(ctx, r)
}

// CommitLayer makes the blob of a layer whole and records it, in one transaction.
func (c *Cache) CommitLayer(ctx context.Context, blob *snapshot.BlobWriter, name, variant string, l Layer, labels map[string]string) error {
	r, err := layerRecord(name, variant, l)
	if err != nil {
		return err
	}
	return blob.Commit(ctx, l.Size, l.Digest, labels, r)
}

func layerRecord(name, variant string, l Layer) (snapshot.Record, error) {
	r := snapshot.Record{Key: layerKey(name, variant), Snapshot: inStore(name), Created: time.Now()}
	if l.Entries > 0 {
		r.Blobs = []digest.Digest{l.Digest}
	}
	err := encode(&r, l)
	return r, err
}

// Content finds the digest of the files of a snapshot that what selects.
func (c *Cache) Content(ctx context.Context, name string, what Key) (d digest.Digest, ok bool, _ error) {
	_, ok, err := c.get(ctx, contentKey(name, what), &d)
	return d, ok, err
}

// PutContent records the digest of files of a frozen snapshot.
func (c *Cache) PutContent(ctx context.Context, name string, what Key, d digest.Digest) error {
	return c.put(ctx, snapshot.Record{Key: contentKey(name, what), Snapshot: name, Created: time.Now()}, d)
}

// Chain finds the snapshot of a stack of layers that a build made, by the stack's chain-id.
func (c *Cache) Chain(ctx context.Context, id digest.Digest) (name string, ok bool, _ error) {
	_, ok, err := c.get(ctx, chainKey(id), &name)
	return name, ok, err
}

// PutChains records the snapshots of stacks of layers, but of bare trees and of those that are known already, in one
// transaction.
func (c *Cache) PutChains(ctx context.Context, snapshots map[digest.Digest]string) error {
	var records []snapshot.Change
	for id, name := range snapshots {
		if IsBare(name) {
			continue
		}
		if _, ok, err := c.Chain(ctx, id); err != nil {
			return err
		} else if ok {
			continue
		}
		r := snapshot.Record{Key: chainKey(id), Snapshot: name, Created: time.Now()}
		if err := encode(&r, name); err != nil {
			return err
		}
		records = append(records, r)
	}
	return c.store.PutRecords(ctx, records...)
}

func chainKey(id digest.Digest) string { return "chain/" + string(id) }

func contentKey(name string, what Key) string { return "content/" + name + "/" + string(what) }

func layerKey(name, variant string) string { return "layer/" + name + "/" + variant }

func (c *Cache) get(ctx context.Context, key string, into any) (snapshot.Record, bool, error) {
	r, err := c.store.Record(ctx, key)
	if errdefs.IsNotFound(err) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("look up %s: %w", key, err)
	}
	// What another version wrote, and this one cannot read, is as good as not there.
	return r, json.Unmarshal(r.Data, into) == nil, nil
}

func (c *Cache) put(ctx context.Context, r snapshot.Record, value any) error {
	if err := encode(&r, value); err != nil {
		return err
	}
	return c.store.PutRecord(ctx, r)
}

func encode(r *snapshot.Record, value any) (err error) {
	if r.Data, err = json.Marshal(value); err != nil {
		return fmt.Errorf("encode %s: %w", r.Key, err)
	}
	return nil
}
