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

// PutBare records a step that made only a layer, and that its shape was seen. The layer must be recorded, with entries.
func (c *Cache) PutBare(ctx context.Context, key, shape Key, step Step, l Layer) error {
	step.Bare.Name = step.Snapshot
	r := snapshot.Record{Key: "step/" + string(key), Created: step.Created, Blobs: []digest.Digest{l.Digest}}
	if err := encode(&r, step); err != nil {
		return err
	}
	return c.store.PutRecords(ctx, append(shapeRecords(shape, r.Blobs), r)...)
}

// Seen tells whether a step of this shape was ever recorded: without one a lookup by content cannot find any.
func (c *Cache) Seen(ctx context.Context, shape Key) (bool, error) {
	var seen bool
	_, ok, err := c.get(ctx, shapeKey(shape), &seen)
	return ok, err
}

func shapeKey(shape Key) string { return "shape/" + string(shape) }

// shapeRecords is the record of a shape, none for "". It lasts as long as the last step of that shape.
func shapeRecords(shape Key, blobs []digest.Digest) []snapshot.Record {
	if shape == "" {
		return nil
	}
	return []snapshot.Record{{Key: shapeKey(shape), Blobs: blobs, Created: time.Now(), Data: []byte("true")}}
}
