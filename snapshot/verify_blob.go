package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// A fingerprint is what the file of a blob looked like when its bytes had the digest. The change time is in it, which no
// program can set back, so a file that looks the same holds the same bytes, unless someone wrote to the disk below.
var fingerprintsBucket = []string{"lbuild", "seals"}

// VerifyBlob fails if the stored bytes are not those of the digest: with errdefs.ErrNotFound if there are none, and with
// errdefs.ErrDataLoss if they changed. Such a blob is removed from the store, so that it can be written again. Bytes are
// read only if size, times or inode of the file are not what they were when the blob was written or last verified.
func (s *Store) VerifyBlob(ctx context.Context, desc ocispec.Descriptor) error {
	if err := s.verify(s.Context(ctx), desc); err != nil {
		return fmt.Errorf("verify blob %s: %w", desc.Digest, err)
	}
	return nil
}

// IsVerified reports whether a blob is there and its file looks as it did when its bytes had the digest. It reads no bytes.
func (b *contentStore) IsVerified(d digest.Digest) bool {
	known, fingerprint, err := b.store.readFingerprint(d)
	if err != nil || !known || fingerprint == "" || d.Validate() != nil {
		return false
	}
	now, err := b.store.fingerprint(d)
	return err == nil && now == fingerprint
}

func (s *Store) verify(ctx context.Context, desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return err
	}
	known, fingerprint, err := s.readFingerprint(desc.Digest)
	if err != nil {
		return err
	}
	if !known {
		return errdefs.ErrNotFound
	}
	now, err := s.fingerprint(desc.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return s.dropBlob(ctx, desc.Digest, "", fmt.Errorf("its file is missing: %w", errdefs.ErrNotFound))
	}
	if err != nil || now == fingerprint {
		return err
	}
	return s.verifyBytes(ctx, desc.Digest, now)
}

func (s *Store) verifyBytes(ctx context.Context, d digest.Digest, current string) error {
	f, err := os.Open(s.blobPath(d))
	if err != nil {
		return err
	}
	verifier := d.Verifier()
	_, err = io.Copy(verifier, &ctxReader{ctx, f})
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !verifier.Verified() {
		return s.dropBlob(ctx, d, current, fmt.Errorf("its bytes have changed: %w", errdefs.ErrDataLoss))
	}
	return s.transact(ctx, func(_ context.Context, tx *bolt.Tx) error { return putFingerprint(tx, d, current) })
}

// removeIfChanged removes a blob that is about to be written if its bytes are gone or have changed: containerd would
// take it as written. Within a transaction it does nothing, because looking needs one of its own.
func (s *Store) removeIfChanged(ctx context.Context, d digest.Digest) error {
	if _, within := boltutil.Transaction(ctx); within || d == "" {
		return nil
	}
	err := s.verify(ctx, ocispec.Descriptor{Digest: d})
	if errdefs.IsNotFound(err) || errdefs.IsDataLoss(err) {
		return nil
	}
	return err
}

// dropBlob removes a blob whose file looks as it did when it was found bad, and returns why.
func (s *Store) dropBlob(ctx context.Context, d digest.Digest, current string, why error) error {
	err := s.transact(ctx, func(ctx context.Context, tx *bolt.Tx) error {
		now, err := s.fingerprint(d)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if now != current {
			return nil
		}
		if err := s.blobs.Delete(ctx, d); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		if err := s.files.Delete(ctx, d); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		return putFingerprint(tx, d, "")
	})
	if err != nil {
		return errors.Join(why, err)
	}
	return why
}

// putCurrentFingerprint remembers how the blob's file looks.
func (s *Store) putCurrentFingerprint(tx *bolt.Tx, d digest.Digest) error {
	current, err := s.fingerprint(d)
	if err != nil {
		return err
	}
	return putFingerprint(tx, d, current)
}

func (s *Store) readFingerprint(d digest.Digest) (known bool, fingerprint string, err error) {
	err = s.meta.View(func(tx *bolt.Tx) error {
		known = hasBlob(tx, d.String())
		if b := bucket(tx, fingerprintsBucket...); b != nil {
			fingerprint = string(b.Get([]byte(d)))
		}
		return nil
	})
	return known, fingerprint, err
}

// putFingerprint sets the fingerprint of a blob; "" removes it.
func putFingerprint(tx *bolt.Tx, d digest.Digest, fingerprint string) error {
	b, err := createBucket(tx, fingerprintsBucket...)
	if err != nil {
		return err
	}
	if fingerprint == "" {
		return b.Delete([]byte(d))
	}
	return b.Put([]byte(d), []byte(fingerprint))
}

// fingerprint describes the file of a blob as it is.
func (s *Store) fingerprint(d digest.Digest) (string, error) {
	info, err := os.Lstat(s.blobPath(d))
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("size=%d mtime=%d ctime=%d ino=%d",
		st.Size, syscall.TimespecToNsec(st.Mtim), syscall.TimespecToNsec(st.Ctim), st.Ino), nil
}

func (s *Store) blobPath(d digest.Digest) string {
	return s.path("content", "blobs", d.Algorithm().String(), d.Encoded())
}

// ctxReader ends a long read when ctx does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
