package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// fetchesAtOnce is how many blobs are fetched at once: more connections than processors are of use.
const fetchesAtOnce = 4

// UnpackOptions says how an image is unpacked.
type UnpackOptions struct {
	// Progress is told how many of the total bytes of a layer's blob were read, at most five times a second for each,
	// and once more with done when it is unpacked. Layers that are there already are not told of. One call at a time,
	// which the layer waits for. nil drops it.
	Progress func(layer digest.Digest, current, total int64, done bool)
}

// Unpack makes the snapshot of the image that a manifest describes, and returns its name, the chain-id of its layers; ""
// for an image without any. Blobs that are missing or have changed are fetched (fetcher nil: an error), also those of
// layers that are unpacked already. Every blob has its digest and every layer its diff-id when Unpack returns, and the
// lease of ctx keeps them all, as the manifest does. Its errors name the blob or layer, not the manifest.
func (s *Store) Unpack(ctx context.Context, manifest ocispec.Descriptor, fetcher remotes.Fetcher, opts UnpackOptions) (string, error) {
	lease, err := s.leaseOf(ctx)
	if err != nil {
		return "", err
	}
	ctx = lease.Context(ctx)
	// One at a time for each image: the second finds everything there.
	if err := s.inflight.Lock(ctx, manifest.Digest.String()); err != nil {
		return "", err
	}
	defer s.inflight.Unlock(manifest.Digest.String())

	p := &pull{store: s, lease: lease, fetcher: fetcher, opts: opts}
	image, err := p.read(ctx, manifest)
	if err != nil {
		return "", err
	}
	done, err := s.unpacked(ctx, image)
	if err == nil && !done {
		err = p.unpack(ctx, image)
	}
	if err == nil {
		err = s.checkDiffIDs(ctx, image)
	}
	return image.chain, err
}

// unpacked says whether nothing of the image is left to do, and takes it into the lease.
func (s *Store) unpacked(ctx context.Context, image image) (bool, error) {
	whole, err := s.wholeLayers(ctx, image)
	if err != nil || !whole {
		return false, err
	}
	labeled, err := s.hasGCLabels(ctx, image)
	if err != nil || !labeled {
		return false, err
	}
	err = s.addToLease(ctx, image.chain, image.blobs()...)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// wholeLayers says whether all layers are there. It looks at each, so that none is left that has changed.
func (s *Store) wholeLayers(ctx context.Context, image image) (bool, error) {
	whole := true
	for _, layer := range image.layers {
		err := s.verify(ctx, layer)
		if errdefs.IsNotFound(err) || errdefs.IsDataLoss(err) {
			whole = false
			continue
		}
		if err != nil {
			return false, err
		}
	}
	return whole, nil
}

// hasGCLabels says whether the labels are there that keep the image's parts with its manifest.
func (s *Store) hasGCLabels(ctx context.Context, image image) (bool, error) {
	for _, label := range image.gcLabels() {
		info, err := s.blobs.Info(ctx, label.from)
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		if err != nil || info.Labels[label.label] != label.to {
			return false, err
		}
	}
	return true, nil
}

// pull is one image on its way into the store.
type pull struct {
	store   *Store
	lease   *Lease
	fetcher remotes.Fetcher
	opts    UnpackOptions
}

func (p *pull) unpack(ctx context.Context, image image) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	layers := newLayers(p.store, p.lease, image)
	layers.progress = p.opts.Progress
	unpacker, err := unpack.NewUnpacker(ctx, p.store.blobs,
		unpack.WithUnpackPlatform(unpack.Platform{
			Platform:                platforms.All, // chosen before
			SnapshotterKey:          snapshotter,
			Snapshotter:             layers,
			SnapshotterCapabilities: []string{snapshots.RebaseCap},
			Applier:                 layers,
		}),
		// Each layer may begin: it waits for its blob first, then for its turn in Apply.
		unpack.WithUnpackLimiter(semaphore.NewWeighted(int64(len(image.layers)))),
		unpack.WithDuplicationSuppressor(p.store.inflight),
		unpack.WithFetchAllContent(),
	)
	if err != nil {
		return err
	}
	children := images.SetChildrenLabels(p.store.blobs, images.ChildrenHandler(p.store.blobs))
	handler := unpacker.Unpack(images.Handlers(images.HandlerFunc(p.fetch), children))
	err = images.Dispatch(ctx, handler, nil, image.manifest)
	if err != nil {
		cancel()
	}
	// The layers are unpacked in the background, and their error says more than the end of the context.
	if _, unpackErr := unpacker.Wait(); err == nil {
		err = unpackErr
	}
	if layer, ok := errors.AsType[*layerError](err); ok {
		return layer
	}
	return err
}

// fetch brings a blob into the store and the lease.
func (p *pull) fetch(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if p.fetcher == nil {
		return nil, p.store.addToLease(ctx, "", desc.Digest)
	}
	if err := p.store.fetches.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer p.store.fetches.Release(1)
	_, err := remotes.FetchHandler(p.store.blobs, p.fetcher)(ctx, desc)
	if errdefs.IsFailedPrecondition(err) {
		err = errdefs.ErrFailedPrecondition.WithMessage("the bytes that came are not those of this digest")
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", desc.Digest, err)
	}
	return nil, nil
}
