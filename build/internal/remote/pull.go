package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is what the registry has under a reference, without the layers' bytes.
type Image struct {
	Target   ocispec.Descriptor // what the reference stands for: an index or the manifest
	Manifest ocispec.Descriptor // for one platform
	Config   dockerspec.DockerOCIImage
	Layers   []ocispec.Descriptor // from the lowest
}

// maxNesting is how many indexes may stand between a reference and its manifest.
const maxNesting = 4

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
	if err != nil {
		return Image{}, c.explain(ctx, "pull", ref, err)
	}
	return img, nil
}

// puller brings one image's metadata into a store.
type puller struct {
	client  *Client
	store   content.Store
	ref     reference.Named
	fetcher remotes.Fetcher
}

func (p *puller) pull(ctx context.Context, target ocispec.Descriptor, platform platforms.MatchComparer) (Image, error) {
	img := Image{Target: target, Manifest: target}
	for depth := 0; images.IsIndexType(img.Manifest.MediaType); depth++ {
		if depth == maxNesting {
			return Image{}, fmt.Errorf("more than %d indexes within each other", maxNesting)
		}
		var index ocispec.Index
		err := p.fetchJSON(ctx, img.Manifest, &index)
		if err != nil {
			return Image{}, err
		}
		if img.Manifest, err = choose(index.Manifests, platform); err != nil {
			return Image{}, err
		}
	}
	var manifest ocispec.Manifest
	if err := p.fetchJSON(ctx, img.Manifest, &manifest); err != nil {
		return Image{}, err
	}
	img.Layers = manifest.Layers
	if err := p.fetchJSON(ctx, manifest.Config, &img.Config); err != nil {
		return Image{}, err
	}
	return img, img.check()
}

// fetchJSON brings a blob into the store and decodes it.
func (p *puller) fetchJSON(ctx context.Context, desc ocispec.Descriptor, into any) error {
	if err := p.fetch(ctx, desc); err != nil {
		return err
	}
	info, err := p.store.Info(ctx, desc.Digest)
	if err != nil {
		return &storeError{desc.Digest, err}
	}
	if err := checkSmall(desc, info.Size); err != nil {
		return err // it was in the store already, and is not what the descriptor says
	}
	data, err := content.ReadBlob(ctx, p.store, desc)
	if err != nil {
		return &storeError{desc.Digest, err}
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s %s: %w", desc.MediaType, desc.Digest, err)
	}
	return nil
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
// them, and on manifests what they refer to, so that garbage collection keeps it.
func MarkSource(ctx context.Context, store content.Store, ref reference.Named, descs ...ocispec.Descriptor) error {
	source, err := docker.AppendDistributionSourceLabel(store, ref.String())
	if err != nil {
		return fmt.Errorf("label of %s: %w", ref, err)
	}
	children := images.SetChildrenLabels(store, images.ChildrenHandler(store))
	for _, desc := range descs {
		if _, err := source(ctx, desc); err != nil {
			return fmt.Errorf("label %s: %w", desc.Digest, err)
		}
		if _, err := children(ctx, desc); err != nil {
			return fmt.Errorf("label %s: %w", desc.Digest, err)
		}
	}
	return nil
}

// choose returns the entry of an index that fits the platform best. An entry without a platform fits any, but less well.
func choose(entries []ocispec.Descriptor, platform platforms.MatchComparer) (ocispec.Descriptor, error) {
	var fit []ocispec.Descriptor
	for _, d := range entries {
		isImage := images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType)
		if isImage && !images.IsAttestationType(d.ArtifactType) && (d.Platform == nil || platform.Match(*d.Platform)) {
			fit = append(fit, d)
		}
	}
	if len(fit) == 0 {
		return ocispec.Descriptor{}, noPlatform(entries)
	}
	sort.SliceStable(fit, func(i, j int) bool {
		if fit[i].Platform == nil || fit[j].Platform == nil {
			return fit[i].Platform != nil && fit[j].Platform == nil
		}
		return platform.Less(*fit[i].Platform, *fit[j].Platform)
	})
	return fit[0], nil
}

func noPlatform(entries []ocispec.Descriptor) error {
	var have []string
	for _, d := range entries {
		if d.Platform != nil && d.Platform.OS != "unknown" {
			have = append(have, platforms.Format(*d.Platform))
		}
	}
	if len(have) == 0 {
		return errors.New("no manifest for the platform, and none for any other")
	}
	return fmt.Errorf("no manifest for the platform; there are %s", strings.Join(have, ", "))
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
