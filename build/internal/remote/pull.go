package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

// Image is what the registry has under a reference, without the layers' bytes.
type Image struct {
	Target   ocispec.Descriptor // what the reference stands for: an index or the manifest
	Manifest ocispec.Descriptor // for one platform
	Config   dockerspec.DockerOCIImage
	Layers   []ocispec.Descriptor // from the lowest
}

// PullManifest brings the index, the manifest for one platform and its config into store, not the layers. A reference
// that stands for a single manifest is taken as it is, whatever its platform. The blobs get labels that keep what they
// refer to from garbage collection, and that tell a later push where they came from.
func (c *Client) PullManifest(ctx context.Context, store content.Store, ref reference.Named, platform platforms.MatchComparer) (Image, error) {
	target, err := c.Resolve(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	fetcher, err := c.Fetcher(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	p := &puller{client: c, store: store, ref: ref, fetcher: fetcher}
	img, err := p.pull(ctx, target, platform)
	if fetch, ok := errors.AsType[*fetchError](err); ok {
		err = fetch.err
	}
	if err != nil {
		return Image{}, c.explain(ctx, "pull", ref, err)
	}
	return img, nil
}

// puller brings one image's metadata into a store: what is read through it is fetched first.
type puller struct {
	client  *Client
	store   content.Store
	ref     reference.Named
	fetcher remotes.Fetcher
}

func (p *puller) pull(ctx context.Context, target ocispec.Descriptor, platform platforms.MatchComparer) (Image, error) {
	desc, err := image.Manifest(ctx, p, target, platform, image.Options{})
	if err != nil {
		return Image{}, err
	}
	img := Image{Target: target, Manifest: desc}
	var manifest ocispec.Manifest
	if err := image.ReadJSON(ctx, p, desc, &manifest); err != nil {
		return Image{}, err
	}
	img.Layers = manifest.Layers
	if err := image.ReadJSON(ctx, p, manifest.Config, &img.Config); err != nil {
		return Image{}, err
	}
	return img, img.check()
}

// fetchError is trouble with a blob that it names itself, so that whoever read the blob has nothing to add.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

// ReaderAt brings a small blob into the store and opens it there. Its errors are *fetchError.
func (p *puller) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	blob, err := p.open(ctx, desc)
	if err != nil {
		return nil, &fetchError{err}
	}
	return blob, nil
}

func (p *puller) open(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := p.fetch(ctx, desc); err != nil {
		return nil, err
	}
	blob, err := p.store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, &storeError{desc.Digest, err}
	}
	if err := checkSmall(desc, blob.Size()); err != nil {
		return nil, errors.Join(err, blob.Close()) // it was in the store already, and is not what the descriptor says
	}
	return blob, nil
}

func checkSmall(desc ocispec.Descriptor, size int64) error {
	if size > maxManifest {
		return fmt.Errorf("%s %s has %d bytes, more than the %d allowed", desc.MediaType, desc.Digest, size, maxManifest)
	}
	return nil
}

func (p *puller) fetch(ctx context.Context, desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", desc.Digest, err)
	}
	if err := checkSmall(desc, desc.Size); err != nil {
		return err
	}
	desc.Data = nil
	err := remotes.Fetch(ctx, p.store, p.fetcher, desc)
	if errdefs.IsAlreadyExists(err) {
		err = nil
	}
	if err != nil {
		return p.wrongBytes(ctx, desc, err)
	}
	return MarkSource(ctx, p.store, p.ref, desc)
}

// wrongBytes throws away what was received when it does not have its digest: the next fetch would go on from it.
func (p *puller) wrongBytes(ctx context.Context, desc ocispec.Descriptor, err error) error {
	if !errdefs.IsFailedPrecondition(err) {
		return err
	}
	abort := p.store.Abort(ctx, remotes.MakeRefKey(ctx, desc))
	if errdefs.IsNotFound(abort) {
		abort = nil
	}
	text := fmt.Sprintf("the bytes that the registry sent for %s do not have this digest", desc.Digest)
	return errors.Join(errdefs.ErrFailedPrecondition.WithMessage(text), abort)
}

// MarkSource writes on blobs in store that ref's repository has them, so that a push to the same registry can mount
// them, and on manifests what they refer to, so that garbage collection keeps it. Blobs that the store lacks are passed over.
func MarkSource(ctx context.Context, store content.Store, ref reference.Named, descs ...ocispec.Descriptor) error {
	source, err := docker.AppendDistributionSourceLabel(store, ref.String())
	if err != nil {
		return fmt.Errorf("label of %s: %w", ref, err)
	}
	children := images.SetChildrenLabels(store, images.ChildrenHandler(store))
	for _, desc := range descs {
		_, err := source(ctx, desc)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("label %s: %w", desc.Digest, err)
		}
		if _, err := children(ctx, desc); err != nil {
			return fmt.Errorf("label %s: %w", desc.Digest, err)
		}
	}
	return nil
}

// MarkPushed is MarkSource for all that target consists of, after a push to ref.
func MarkPushed(ctx context.Context, store content.Store, ref reference.Named, target ocispec.Descriptor) error {
	var parts []ocispec.Descriptor
	collect := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		parts = append(parts, desc)
		return images.Children(ctx, store, desc)
	})
	if err := images.Walk(ctx, collect, target); err != nil {
		return fmt.Errorf("parts of %s: %w", ref, err)
	}
	return MarkSource(ctx, store, ref, parts...)
}

// check refuses an image that could not be unpacked.
func (img Image) check() error {
	if got, want := len(img.Config.RootFS.DiffIDs), len(img.Layers); got != want {
		return fmt.Errorf("manifest %s and its config disagree on the number of layers: %d and %d", img.Manifest.Digest, want, got)
	}
	for _, layer := range img.Layers {
		if !images.IsLayerType(layer.MediaType) {
			return fmt.Errorf("layer %s has the unknown media type %q", layer.Digest, layer.MediaType)
		}
		if err := layer.Digest.Validate(); err != nil {
			return fmt.Errorf("layer digest %q: %w", layer.Digest, err)
		}
	}
	return nil
}
