package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// contentStore is containerd's content store for many processes. An unfinished blob belongs to its lease: containerd
// knows within one process only who writes to it, so two processes must not write to the same.
type contentStore struct {
	inner content.Store
	store *Store
}

func (b *contentStore) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	return b.inner.Info(b.store.Context(ctx), d)
}

// Update costs no transaction where it would change nothing but the time.
func (b *contentStore) Update(ctx context.Context, info content.Info, fields ...string) (content.Info, error) {
	if now, err := b.Info(ctx, info.Digest); err == nil && hasLabels(now.Labels, info.Labels, fields) {
		return now, nil
	}
	return b.inner.Update(b.store.Context(ctx), info, fields...)
}

// hasLabels says whether the fields are all labels, and the same in both.
func hasLabels(have, want map[string]string, fields []string) bool {
	for _, f := range fields {
		name, ok := strings.CutPrefix(f, "labels.")
		value, known := have[name]
		if !ok || !known || value != want[name] {
			return false
		}
	}
	return len(fields) > 0
}

func (b *contentStore) Walk(ctx context.Context, fn content.WalkFunc, filters ...string) error {
	return b.inner.Walk(b.store.Context(ctx), fn, filters...)
}

func (b *contentStore) Delete(ctx context.Context, d digest.Digest) error {
	return b.inner.Delete(b.store.Context(ctx), d)
}

func (b *contentStore) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	return b.inner.ReaderAt(b.store.Context(ctx), desc)
}

func (b *contentStore) Status(ctx context.Context, ref string) (content.Status, error) {
	st, err := b.inner.Status(b.store.Context(ctx), ownRef(ctx, ref))
	st.Ref = ref
	return st, err
}

// ListStatuses lists what the lease of ctx has under way; of the filters, those on ref see the names with its id.
func (b *contentStore) ListStatuses(ctx context.Context, filters ...string) ([]content.Status, error) {
	all, err := b.inner.ListStatuses(b.store.Context(ctx), filters...)
	if err != nil {
		return nil, err
	}
	var own []content.Status
	for _, st := range all {
		if ref, ok := strings.CutPrefix(st.Ref, ownRef(ctx, "")); ok {
			st.Ref = ref
			own = append(own, st)
		}
	}
	return own, nil
}

func (b *contentStore) Abort(ctx context.Context, ref string) error {
	return b.inner.Abort(b.store.Context(ctx), ownRef(ctx, ref))
}

// Writer begins or resumes an unfinished blob of the lease. A blob of that digest that has changed is replaced.
func (b *contentStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	lease, err := b.store.leaseOf(ctx)
	if err != nil {
		return nil, fmt.Errorf("write blob: %w", err)
	}
	ctx = lease.Context(ctx)
	if err := b.store.removeIfChanged(ctx, o.Desc.Digest); err != nil {
		return nil, err
	}
	w, err := b.inner.Writer(ctx, content.WithRef(ownRef(ctx, o.Ref)), content.WithDescriptor(o.Desc))
	if err != nil {
		return nil, err
	}
	return &contentWriter{Writer: w, blobs: b, lease: lease.id, ref: o.Ref}, nil
}

func ownRef(ctx context.Context, ref string) string { return leaseID(ctx) + "/" + ref }

// contentWriter commits the blob and its fingerprint in one transaction.
type contentWriter struct {
	content.Writer
	blobs *contentStore
	lease string
	ref   string
}

func (w *contentWriter) Status() (content.Status, error) {
	st, err := w.Writer.Status()
	st.Ref = w.ref
	return st, err
}

// Commit makes the blob whole and closes the writer, also after an error. One that turns out to be another than expected
// is thrown away, not resumed.
func (w *contentWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	ctx = leases.WithLease(w.blobs.store.Context(ctx), w.lease)
	err := w.commit(ctx, size, expected, opts)
	if err == nil || errdefs.IsAlreadyExists(err) {
		return err
	}
	// containerd closes the file only when it comes to commit it.
	return errors.Join(err, w.Close(), ignoreMissing(w.blobs.Abort(ctx, w.ref)))
}

func (w *contentWriter) commit(ctx context.Context, size int64, expected digest.Digest, opts []content.Opt) error {
	// The blob is synced before the transaction, which then has little to wait for.
	if s, ok := w.Writer.(content.Syncer); ok {
		if err := s.Sync(); err != nil {
			return err
		}
	}
	if err := w.blobs.store.removeIfChanged(ctx, expected); err != nil {
		return err
	}
	return w.blobs.store.transact(ctx, func(ctx context.Context, tx *bolt.Tx) error {
		if err := w.Writer.Commit(ctx, size, expected, opts...); err != nil {
			return err
		}
		return w.blobs.store.putCurrentFingerprint(tx, w.Writer.Digest())
	})
}
