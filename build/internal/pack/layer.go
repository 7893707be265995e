package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/snapshot"
)

// Layer is a packed result.
type Layer struct {
	layer.Result
	Seconds        float64       `json:"-"`                   // that packing took in this build; 0 where it did not pack it
	Waited         time.Duration `json:"-"`                   // for its turn, where a step packed it itself
	Unchanged      int           `json:"unchanged,omitempty"` // files that were left out because they did not change
	UnchangedBytes int64         `json:"unchanged_bytes,omitempty"`
	ReusedBytes    int64         `json:"-"` // of the blob, taken from blobs that were there when it was packed
}

// Descriptor is the layer's blob as a manifest names it.
func (l Layer) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}
}

// labelUncompressed is where containerd keeps the diff-id of a layer's blob.
const labelUncompressed = "containerd.io/uncompressed"

// Uncompressed are the labels of a layer's blob.
func Uncompressed(diffID digest.Digest) map[string]string {
	return map[string]string{labelUncompressed: string(diffID)}
}

// Key is what a layer is remembered by, in the build and in the store.
func (b *Build) Key(id string, c compress.Compression) string {
	return "layer/" + id + "/" + b.Encoding(c)
}

// find gives the layer that a result was packed as. ok is false when it was not packed this way, or when its blob is gone
// or no longer has the bytes of its digest.
func (b *Build) find(ctx context.Context, id string, c compress.Compression) (l Layer, ok bool, _ error) {
	r, err := b.store.Record(ctx, b.Key(id, c))
	if errdefs.IsNotFound(err) || err == nil && json.Unmarshal(r.Data, &l) != nil {
		return Layer{}, false, nil
	}
	if err != nil {
		return Layer{}, false, fmt.Errorf("look up a layer: %w", err)
	}
	if l.Entries == 0 {
		return l, true, nil
	}
	err = b.store.VerifyBlob(ctx, l.Descriptor())
	if errdefs.IsNotFound(err) || errdefs.IsDataLoss(err) {
		return Layer{}, false, nil
	}
	return l, err == nil, err
}

func (b *Build) record(src Source, c compress.Compression, l Layer) (snapshot.Record, error) {
	r := snapshot.Record{Key: b.Key(src.ID, c)}
	if src.HasTree {
		r.Snapshot = src.ID
	}
	if l.Entries > 0 {
		r.Blobs = []digest.Digest{l.Digest}
	}
	var err error
	if r.Data, err = json.Marshal(l); err != nil {
		return r, fmt.Errorf("encode %s: %w", r.Key, err)
	}
	return r, nil
}

// Empty stores a layer without entries, for an image that would have none.
func (b *Build) Empty(ctx context.Context, c compress.Compression) (_ Layer, err error) {
	blob, err := b.store.NewBlob(ctx)
	if err != nil {
		return Layer{}, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	none := func(func(diff.Change, error) bool) {}
	r, err := layer.Write(ctx, blob, none, layer.Options{Compression: c, Workers: leastWorkers})
	if err != nil {
		return Layer{}, err
	}
	return Layer{Result: r}, blob.Commit(ctx, r.Size, r.Digest, Uncompressed(r.DiffID))
}
