package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/snapshot"
)

// forced tells whether an output wants the base's layers in compression c too.
func (s *session) forced(c compress.Compression) bool {
	for _, out := range s.outputs() {
		if out.ForceCompression && out.isImage() && s.compression(out) == c {
			return true
		}
	}
	return false
}

// baseSoon starts to pack the layers of the base anew, where an output wants that, and to push them, before the first step
// runs. Their blobs are in the store.
func (s *session) baseSoon(ctx context.Context, base *baseImage) {
	for _, c := range s.compressions() {
		for i := range base.layers {
			s.group.Go(func() error {
				l, err := s.baseLayer(ctx, base, i, c)
				if err == nil {
					s.pushSoon(ctx, c, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
				}
				return err
			})
		}
	}
}

// baseLayer is a layer of the base as it is, or in compression c where an output forces that. It is packed anew once; a
// later call waits for the first.
func (s *session) baseLayer(ctx context.Context, base *baseImage, i int, c compress.Compression) (Layer, error) {
	desc := base.layers[i]
	l := Layer{DiffID: base.config.RootFS.DiffIDs[i], Digest: desc.Digest, MediaType: ociLayerType(desc.MediaType), Size: desc.Size, Base: true, Cached: true}
	if !s.forced(c) {
		return l, nil
	}
	return s.repacks.do(fmt.Sprint(desc.Digest, " ", c.ID()), func() (Layer, error) {
		return s.repackNow(ctx, l, place{i + 1, len(base.layers)}, desc, c)
	})
}

// place is that of a layer among all of its base, from 1.
type place struct{ n, of int }

// id names the layer in events. No step is called so: the name of a stage has no space.
func (p place) id() string { return fmt.Sprintf("base layer %d/%d", p.n, p.of) }

// rank is before the layers of all steps.
func (p place) rank() int { return p.n - 1 - p.of }

// repackNow packs a layer of the base anew, as soon as there is room.
func (s *session) repackNow(ctx context.Context, l Layer, at place, desc ocispec.Descriptor, c compress.Compression) (Layer, error) {
	window, err := s.window(ctx, desc)
	if err != nil {
		return l, fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	workers, release, err := s.budget.room(ctx, turn{s.number, at.rank()}, c, window)
	if err != nil {
		return l, err
	}
	defer release()
	err = s.tell(ctx, Event{ID: at.id()}, func() (done Event, err error) {
		if l, err = s.recompress(ctx, l, desc, c, workers); err != nil {
			return done, fmt.Errorf("pack layer %s anew: %w", desc.Digest, err)
		}
		return Event{
			Digest: string(l.Digest), Size: l.Size, UncompressedSize: l.UncompressedSize, Seconds: l.PackSeconds, ReusedBytes: l.ReusedBytes,
		}, nil
	})
	return l, err
}

// window is that of a blob of the store.
func (s *session) window(ctx context.Context, desc ocispec.Descriptor) (int64, error) {
	blob, err := s.store.Content().ReaderAt(ctx, desc)
	if err != nil {
		return 0, err
	}
	size, err := window(blob)
	return size, errors.Join(err, blob.Close())
}

// recompress stores a layer of the base in another compression. The tar inside stays the same, so its diff-id does.
func (s *session) recompress(ctx context.Context, l Layer, desc ocispec.Descriptor, c compress.Compression, workers int) (_ Layer, err error) {
	started := time.Now()
	reader, err := s.store.Content().ReaderAt(ctx, desc)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	plain, err := snapshot.Decompress(content.NewReader(reader))
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	blob, err := s.store.NewBlob(ctx)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()

	l.MediaType = c.MediaType()
	known := s.packed.Blob(ctx)
	defer known.Close()
	if l.UncompressedSize, err = squeeze(blob, cancelable{ctx, plain}, c, workers, known); err != nil {
		return l, err
	}
	l.Size, l.Digest, l.ReusedBytes, l.PackSeconds = blob.Size(), blob.Digest(), known.Reused(), time.Since(started).Seconds()
	if err := blob.Commit(ctx, l.Size, l.Digest, uncompressed(l.DiffID)); err != nil {
		return l, err
	}
	s.keepBlocks(known, l.Digest)
	return l, nil
}

// squeeze copies plain to blob in compression c, and returns the number of plain bytes.
func squeeze(blob io.Writer, plain io.Reader, c compress.Compression, workers int, known compress.Blocks) (int64, error) {
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

// emptyLayer stores a layer without entries, for an image that would have none.
func (s *session) emptyLayer(ctx context.Context, c compress.Compression) (_ Layer, err error) {
	blob, err := s.store.NewBlob(ctx)
	if err != nil {
		return Layer{}, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	none := func(func(diff.Change, error) bool) {}
	r, err := layer.Write(ctx, blob, none, layer.Options{Compression: c, Workers: leastWorkers})
	if err != nil {
		return Layer{}, err
	}
	l := Layer{CreatedBy: "empty layer", DiffID: r.DiffID, Digest: r.Digest, MediaType: r.MediaType, Size: r.Size, UncompressedSize: r.UncompressedSize}
	return l, blob.Commit(ctx, r.Size, r.Digest, uncompressed(r.DiffID))
}
