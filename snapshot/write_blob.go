package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// Refs are labels for a blob that keep a snapshot ("" for none) and other blobs as long as the blob is kept: a manifest
// keeps its config and layers this way.
func Refs(snapshot string, blobs ...digest.Digest) map[string]string {
	labels := map[string]string{}
	if snapshot != "" {
		labels[snapshotRef] = snapshot
	}
	for i, d := range blobs {
		labels["containerd.io/gc.ref.content."+strconv.Itoa(i)] = d.String()
	}
	return labels
}

const snapshotRef = "containerd.io/gc.ref.snapshot." + snapshotter

// WriteBlob stores a small blob under the lease of ctx and returns its descriptor. It is whole on disk when WriteBlob
// returns. If the blob exists, it gets the labels that it lacks; if its bytes have changed, it is written again.
func (s *Store) WriteBlob(ctx context.Context, mediaType string, data []byte, labels map[string]string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	lease, err := s.leaseOf(ctx)
	if err != nil {
		return desc, fmt.Errorf("write blob: %w", err)
	}
	if err := s.removeIfChanged(lease.Context(ctx), desc.Digest); err != nil {
		return desc, fmt.Errorf("write blob %s: %w", desc.Digest, err)
	}
	// One transaction for all: it waits for little, and each costs two syncs.
	err = s.transact(lease.Context(ctx), func(ctx context.Context, tx *bolt.Tx) error {
		known, ref := hasBlob(tx, desc.Digest.String()), "blob-"+rand.Text()
		err := content.WriteBlob(ctx, s.blobs, ref, bytes.NewReader(data), desc, content.WithLabels(labels))
		if err != nil {
			// The transaction ends as if nothing was; only here the half-written file has a name.
			return errors.Join(err, ignoreMissing(s.blobs.Abort(ctx, ref)))
		}
		if !known {
			return nil
		}
		return s.addLabels(ctx, desc.Digest, labels)
	})
	if err != nil {
		return desc, fmt.Errorf("write blob %s: %w", desc.Digest, err)
	}
	return desc, nil
}

func ignoreMissing(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func (s *Store) addLabels(ctx context.Context, d digest.Digest, labels map[string]string) error {
	if len(labels) == 0 {
		return nil
	}
	fields := make([]string, 0, len(labels))
	for key := range labels {
		fields = append(fields, "labels."+key)
	}
	_, err := s.blobs.Update(ctx, content.Info{Digest: d, Labels: labels}, fields...)
	return err
}
