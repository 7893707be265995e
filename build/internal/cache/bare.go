package cache

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/snapshot"
)

// barePrefix begins the names of bare trees. No snapshot's name has a dash.
const barePrefix = "bare-"

// BareName names a tree that is kept as a layer over its parent, and not as a snapshot. No other tree ever has the name.
func BareName() string { return barePrefix + strings.ToLower(rand.Text()) }

// IsBare reports whether name is that of a tree that is kept as a layer alone.
func IsBare(name string) bool { return strings.HasPrefix(name, barePrefix) }

// inStore is the snapshot that a record about a tree keeps; "" for none.
func inStore(name string) string {
	if IsBare(name) {
		return ""
	}
	return name
}

// CommitBare makes the blob of a layer whole, and records it, the step that made nothing else, and that its shape was
// seen, in one transaction. The layer must have entries.
func (c *Cache) CommitBare(ctx context.Context, blob *snapshot.BlobWriter, key, shape Key, step Step, l Layer, labels map[string]string) error {
	packed, err := layerRecord(step.Snapshot, step.Bare.Variant, l)
	if err != nil {
		return err
	}
	made := snapshot.Record{Key: "step/" + string(key), Created: step.Created, Blobs: packed.Blobs}
	if err := encode(&made, step); err != nil {
		return err
	}
	return blob.Commit(ctx, l.Size, l.Digest, labels, append(shapeRecords(shape, "", packed.Blobs), packed, made)...)
}

// Seen tells whether a step of this shape was ever recorded: without one a lookup by content cannot find any.
func (c *Cache) Seen(ctx context.Context, shape Key) (bool, error) {
	var seen bool
	_, ok, err := c.get(ctx, shapeKey(shape), &seen)
	return ok, err
}

func shapeKey(shape Key) string { return "shape/" + string(shape) }

// shapeRecords is the record of a shape, none for "". It lasts as long as the last step of that shape.
func shapeRecords(shape Key, name string, blobs []digest.Digest) []snapshot.Change {
	if shape == "" {
		return nil
	}
	return []snapshot.Change{snapshot.Record{Key: shapeKey(shape), Snapshot: name, Blobs: blobs, Created: time.Now(), Data: []byte("true")}}
}
