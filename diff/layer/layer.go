// Package layer packs changes as one layer of an OCI image.
package layer

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/opencontainers/go-digest"
)

// Options say how a layer is packed. The zero value is gzip on all cores, with times as they are.
type Options struct {
	// Compression is the codec of the blob. Default: gzip.
	Compression compress.Compression
	// Workers is the number of goroutines that compress; it never changes a byte. Default: one for each usable core.
	Workers int
	// Blocks are packed blocks of earlier layers, which are then not compressed again; it never changes a byte. Default: none.
	Blocks compress.Blocks
	// Epoch is the latest time that the layer holds; later ones become it. Default: times stay.
	Epoch *time.Time
}

// Result describes the blob that was written.
type Result struct {
	// MediaType is that of an OCI layer with this compression.
	MediaType string
	// Digest and Size are those of the blob.
	Digest digest.Digest
	Size   int64
	// DiffID and UncompressedSize are the digest and size of the tar.
	DiffID           digest.Digest
	UncompressedSize int64
	// Entries is the number of tar entries. With 0 the tar is valid and empty: the changes were none.
	Entries int
}

// Digester is a writer that knows the SHA-256 of all that was written to it. Write takes its word for the digest of the
// blob, which is then hashed once and not twice.
type Digester interface {
	io.Writer
	Digest() digest.Digest
}

// Write packs changes into w, in their order, and returns what it wrote.
//
// Each byte of a file is read once: tar, both digests and compression work on the same pass. Large layers are read,
// hashed, compressed and written in goroutines of their own; changes are ranged over by the caller's. The layer is whole
// only if the error is nil; what w holds otherwise is to be thrown away. Write does not close w, calls it from one
// goroutine at a time, and everything that it started has ended when it returns. The error is a *diff.PathError where it
// belongs to a path, or what Change.WithContent's reader said, and the first one in the order of the changes.
func Write(ctx context.Context, w io.Writer, changes iter.Seq2[diff.Change, error], opts Options) (Result, error) {
	p, err := newPipe(w, opts)
	if err != nil {
		return Result{}, err
	}
	t := &tarWriter{out: p, epoch: opts.Epoch}
	err = writeAll(ctx, t, changes)
	if err == nil {
		err = t.end()
	}
	r, closeErr := p.finish(err)
	if err = errors.Join(err, closeErr); err != nil {
		return Result{}, err
	}
	r.MediaType, r.Entries = opts.Compression.MediaType(), t.entries
	return r, nil
}
