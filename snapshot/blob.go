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
	if err := s.heal(lease.Context(ctx), desc.Digest); err != nil {
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

// BlobWriter takes a blob of any size. It is not safe for concurrent use.
type BlobWriter struct {
	store *Store
	w     content.Writer
	lease *Lease
	ref   string
	done  bool
}

// NewBlob begins a blob under the lease of ctx; the caller closes it.
func (s *Store) NewBlob(ctx context.Context) (*BlobWriter, error) {
	lease, err := s.leaseOf(ctx)
	if err != nil {
		return nil, fmt.Errorf("new blob: %w", err)
	}
	ref := "blob-" + rand.Text()
	w, err := s.blobs.Writer(lease.Context(ctx), content.WithRef(ref))
	if err != nil {
		return nil, fmt.Errorf("new blob: %w", err)
	}
	return &BlobWriter{store: s, w: w, lease: lease, ref: ref}, nil
}

// Write appends to the blob.
func (b *BlobWriter) Write(p []byte) (int, error) { return b.w.Write(p) }

// Commit makes the blob whole: it has the digest and, unless size is 0, the size, or Commit fails and stores nothing.
// The blob is on disk when Commit returns. That it existed before is fine; it then gets the labels that it lacks.
func (b *BlobWriter) Commit(ctx context.Context, size int64, expected digest.Digest, labels map[string]string) error {
	ctx = b.lease.Context(ctx)
	b.done = true
	err := b.w.Commit(ctx, size, expected, content.WithLabels(labels))
	if errdefs.IsAlreadyExists(err) {
		err = b.store.addLabels(ctx, expected, labels)
	}
	if err != nil {
		return fmt.Errorf("commit blob %s: %w", expected, err)
	}
	return nil
}

// Close throws the blob away unless it was committed. Later calls do nothing.
func (b *BlobWriter) Close() error {
	if b.done {
		return nil
	}
	b.done = true
	err := b.w.Close()
	return errors.Join(err, b.store.blobs.Abort(b.lease.Context(detached()), b.ref))
}
