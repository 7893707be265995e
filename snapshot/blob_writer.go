package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// BlobWriter takes a blob of any size. It is not safe for concurrent use. Until it is committed the blob is a file of
// its lease that no database knows, so beginning one costs no transaction.
type BlobWriter struct {
	store *Store
	lease *Lease
	dir   string
	file  *os.File // nil once it is closed
	hash  digest.Digester
	size  int64
	sent  int64 // bytes that the kernel was told to write to disk
}

// sendSize is how many bytes are sent to disk at once.
const sendSize = 8 << 20

// NewBlob begins a blob under the lease of ctx; the caller closes it.
func (s *Store) NewBlob(ctx context.Context) (*BlobWriter, error) {
	lease, err := s.leaseOf(ctx)
	if err != nil {
		return nil, fmt.Errorf("new blob: %w", err)
	}
	b := &BlobWriter{store: s, lease: lease, hash: digest.Canonical.Digester()}
	if b.dir, err = lease.directory("blobs"); err != nil {
		return nil, fmt.Errorf("new blob: %w", err)
	}
	if b.file, err = os.OpenFile(b.path(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("new blob: %w", errors.Join(err, os.Remove(b.dir)))
	}
	return b, nil
}

func (b *BlobWriter) path() string { return filepath.Join(b.dir, "data") }

// Write appends to the blob.
func (b *BlobWriter) Write(p []byte) (int, error) {
	n, err := b.file.Write(p)
	b.hash.Hash().Write(p[:n])
	b.size += int64(n)
	if b.size-b.sent >= sendSize {
		b.send()
	}
	return n, err
}

// send lets the disk begin with what is there, while more comes: otherwise it all waits for the sync at the end. That
// one also tells of errors.
func (b *BlobWriter) send() {
	_ = unix.SyncFileRange(int(b.file.Fd()), b.sent, b.size-b.sent, unix.SYNC_FILE_RANGE_WRITE)
	b.sent = b.size
}

// Digest is that of the bytes that were written so far.
func (b *BlobWriter) Digest() digest.Digest { return b.hash.Digest() }

// Size is the number of bytes that were written so far.
func (b *BlobWriter) Size() int64 { return b.size }

// Commit makes the blob whole: it has the digest and, unless size is 0, the size, or Commit fails and stores nothing.
// That it existed before is fine; it then gets the labels that it lacks. The records are changed in the same
// transaction. Blob and records are on disk when Commit returns: a power cut before that may lose all of them, never
// some.
func (b *BlobWriter) Commit(ctx context.Context, size int64, expected digest.Digest, labels map[string]string, records ...Change) error {
	err := b.syncFile(size, expected)
	if err == nil {
		err = b.store.removeIfChanged(b.lease.Context(ctx), expected)
	}
	if err == nil {
		err = b.publish(b.lease.Context(ctx), expected, labels, records)
	}
	if err != nil {
		return fmt.Errorf("commit blob %s: %w", expected, errors.Join(err, b.Close()))
	}
	return b.Close()
}

// syncFile puts the file on disk, before a transaction makes others wait, and closes it.
func (b *BlobWriter) syncFile(size int64, expected digest.Digest) error {
	switch d := b.Digest(); {
	case b.file == nil:
		return os.ErrClosed
	case size != 0 && size != b.size:
		return fmt.Errorf("it has %d bytes, not %d", b.size, size)
	case d != expected:
		return fmt.Errorf("its bytes have the digest %s", d)
	}
	const readOnly = 0o444
	f := b.file
	b.file = nil
	return errors.Join(f.Chmod(readOnly), f.Sync(), f.Close())
}

// publish gives the file its place and its name.
func (b *BlobWriter) publish(ctx context.Context, d digest.Digest, labels map[string]string, records []Change) error {
	return b.store.transact(ctx, func(ctx context.Context, tx *bolt.Tx) error {
		if err := b.register(ctx, tx, d, labels); err != nil {
			return err
		}
		return b.store.PutRecords(ctx, records...)
	})
}

// register makes the blob known, unless it is. A process that is killed in between leaves a file that no database knows,
// which a collection removes; none runs during the transaction.
func (b *BlobWriter) register(ctx context.Context, tx *bolt.Tx, d digest.Digest, labels map[string]string) error {
	if hasBlob(tx, d.String()) {
		return errors.Join(b.store.addToLease(ctx, "", d), b.store.addLabels(ctx, d, labels))
	}
	target := b.store.blobPath(d)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.Rename(b.path(), target); err != nil {
		return err
	}
	if err := b.addToContentStore(ctx, tx, d, labels); err != nil {
		return errors.Join(err, os.Remove(target))
	}
	return nil
}

// addToContentStore has containerd take a file of its content store for a blob, as it takes those of other namespaces.
func (b *BlobWriter) addToContentStore(ctx context.Context, tx *bolt.Tx, d digest.Digest, labels map[string]string) error {
	if err := syncPath(filepath.Dir(b.store.blobPath(d))); err != nil {
		return err
	}
	desc := ocispec.Descriptor{Digest: d, Size: b.size}
	w, err := b.store.blobs.inner.Writer(ctx, content.WithRef(ownRef(ctx, filepath.Base(b.dir))), content.WithDescriptor(desc))
	if err != nil {
		return err
	}
	if err := w.Commit(ctx, b.size, d, content.WithLabels(labels)); err != nil {
		return err
	}
	return b.store.putCurrentFingerprint(tx, d)
}

// Close throws the blob away unless it was committed. Later calls do nothing.
func (b *BlobWriter) Close() error {
	var err error
	if b.file != nil {
		err = b.file.Close()
		b.file = nil
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}
