package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/snapshot"
)

// BaseLayer is a layer of an image that a build starts from. Its blob is in the store.
type BaseLayer struct {
	Blob   ocispec.Descriptor
	DiffID digest.Digest
	N, Of  int // its number among all layers of the image, from 1
}

// id names the layer in events. No step is called so: the name of a stage has no space.
func (l BaseLayer) id() string { return fmt.Sprintf("base layer %d/%d", l.N, l.Of) }

// rank is before the layers of all steps.
func (l BaseLayer) rank() int { return l.N - 1 - l.Of }

// Repack gives a layer of a base in another compression. The tar inside stays the same, so its diff-id does. A later call
// waits for the first.
func (b *Build) Repack(ctx context.Context, base BaseLayer, c compress.Compression) (Layer, error) {
	return b.layers.Do(fmt.Sprint("base/", base.Blob.Digest, "/", c.ID()), func() (Layer, error) { return b.repack(ctx, base, c) })
}

// repack packs the layer as soon as there is room.
func (b *Build) repack(ctx context.Context, base BaseLayer, c compress.Compression) (l Layer, err error) {
	window, err := b.window(ctx, base.Blob)
	if err != nil {
		return l, fmt.Errorf("layer %s: %w", base.Blob.Digest, err)
	}
	workers, release, err := b.budget.room(ctx, turn{b.number, base.rank()}, c, window)
	if err != nil {
		return l, err
	}
	defer release()
	err = b.tell(ctx, event.Event{ID: base.id()}, func() (done event.Event, err error) {
		if l, err = b.recompress(ctx, base, c, workers); err != nil {
			return done, fmt.Errorf("pack layer %s anew: %w", base.Blob.Digest, err)
		}
		return event.Event{
			Digest: string(l.Digest), Size: l.Size, UncompressedSize: l.UncompressedSize, Seconds: l.Seconds, ReusedBytes: l.ReusedBytes,
		}, nil
	})
	return l, err
}

// window is that of a blob of the store.
func (b *Build) window(ctx context.Context, desc ocispec.Descriptor) (int64, error) {
	blob, err := b.store.Content().ReaderAt(ctx, desc)
	if err != nil {
		return 0, err
	}
	size, err := window(blob)
	return size, errors.Join(err, blob.Close())
}

// recompress stores the layer in another compression.
func (b *Build) recompress(ctx context.Context, base BaseLayer, c compress.Compression, workers int) (l Layer, err error) {
	started := time.Now()
	reader, err := b.store.Content().ReaderAt(ctx, base.Blob)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	plain, err := snapshot.Decompress(content.NewReader(reader))
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	blob, err := b.store.NewBlob(ctx)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()

	known := b.known.Blob(ctx)
	defer known.Close()
	if l.UncompressedSize, err = compressAll(blob, cancelable{ctx, plain}, c, workers, known); err != nil {
		return l, err
	}
	l.DiffID, l.MediaType, l.Size, l.Digest = base.DiffID, c.MediaType(), blob.Size(), blob.Digest()
	l.ReusedBytes, l.Seconds = known.Reused(), time.Since(started).Seconds()
	if err := blob.Commit(ctx, l.Size, l.Digest, Uncompressed(l.DiffID)); err != nil {
		return l, err
	}
	b.keepBlocks(known, l.Digest)
	return l, nil
}

// compressAll copies plain to blob in compression c, and returns the number of plain bytes.
func compressAll(blob io.Writer, plain io.Reader, c compress.Compression, workers int, known compress.Blocks) (int64, error) {
	w, err := c.NewWriter(blob, workers)
	if err != nil {
		return 0, err
	}
	w.Reuse(known)
	n, err := io.Copy(w, plain)
	if err != nil {
		w.Drop()
		return 0, err
	}
	return n, w.Close()
}

// cancelable is a reader that ends with its context.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
