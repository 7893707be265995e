package snapshot

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Fetch brings what a manifest describes into the store, config and layers, side by side, and unpacks nothing. Blobs
// that are missing or have changed are fetched (fetcher nil: an error); a fetch that failed goes on where it was if it
// is called again under the same lease. Every blob has its digest when Fetch returns, and the lease of ctx keeps them
// all, as the manifest does. Its errors name the blob, not the manifest. That the layers have the diff-ids that the
// config tells is not known.
func (s *Store) Fetch(ctx context.Context, manifest ocispec.Descriptor, fetcher remotes.Fetcher) error {
	lease, err := s.leaseOf(ctx)
	if err == nil {
		p := &pull{store: s, lease: lease, fetcher: fetcher}
		err = p.fetchManifest(lease.Context(ctx), manifest)
	}
	return err
}

func (p *pull) fetchManifest(ctx context.Context, manifest ocispec.Descriptor) error {
	image, err := p.read(ctx, manifest)
	if err != nil {
		return err
	}
	if done, err := p.store.fetched(ctx, image); err != nil || done {
		return err
	}
	children := images.SetChildrenLabels(p.store.blobs, images.ChildrenHandler(p.store.blobs))
	return images.Dispatch(ctx, images.Handlers(images.HandlerFunc(p.fetchVerified), children), nil, manifest)
}

// fetched says whether nothing of an image is left to fetch, and takes it into the lease: in one transaction, where each
// blob by itself would take one.
func (s *Store) fetched(ctx context.Context, image image) (bool, error) {
	whole, err := s.wholeLayers(ctx, image)
	if err != nil || !whole {
		return false, err
	}
	info, err := s.blobs.Info(ctx, image.manifest.Digest)
	if err != nil {
		return false, ignoreMissing(err)
	}
	labeled := map[string]bool{}
	for _, to := range info.Labels {
		labeled[to] = true
	}
	for _, d := range image.blobs()[1:] { // all but the manifest itself
		if !labeled[d.String()] {
			return false, nil
		}
	}
	err = s.addToLease(ctx, "", image.blobs()...)
	return err == nil, ignoreMissing(err)
}

// FetchBlob brings one blob into the store, unless it is there and its bytes have not changed (fetcher nil: an error).
// It has its digest when FetchBlob returns, and the lease of ctx keeps it. A fetch that failed goes on as one of
// [Store.Fetch].
func (s *Store) FetchBlob(ctx context.Context, desc ocispec.Descriptor, fetcher remotes.Fetcher) error {
	lease, err := s.leaseOf(ctx)
	if err == nil {
		err = checkDescriptor(desc)
	}
	if err == nil {
		p := &pull{store: s, lease: lease, fetcher: fetcher}
		_, err = p.fetchVerified(lease.Context(ctx), desc)
	}
	if err != nil {
		return fmt.Errorf("fetch blob %s: %w", desc.Digest, err)
	}
	return nil
}

// fetchVerified is fetch for a blob that is verified also without a fetcher. Of several that want the same blob, one
// fetches it, and the others find it there.
func (p *pull) fetchVerified(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	key := "fetch " + desc.Digest.String()
	if err := p.store.inflight.Lock(ctx, key); err != nil {
		return nil, err
	}
	defer p.store.inflight.Unlock(key)
	err := p.keepVerified(ctx, desc)
	if p.fetcher == nil || !errdefs.IsNotFound(err) && !errdefs.IsDataLoss(err) {
		return nil, err
	}
	return p.fetch(ctx, desc)
}

// keepVerified takes a blob into the lease whose bytes have not changed.
func (p *pull) keepVerified(ctx context.Context, desc ocispec.Descriptor) error {
	if err := p.store.addToLease(ctx, "", desc.Digest); err != nil {
		return err
	}
	return p.store.verify(ctx, desc)
}
