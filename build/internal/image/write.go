package image

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/snapshot"
)

// Parts are what an image is made of. Its layers are in the store, or can be had by whoever gets the image.
type Parts struct {
	Config      dockerspec.DockerOCIImage // with its history, but without diff-ids
	DiffIDs     []digest.Digest
	Layers      []ocispec.Descriptor // as many as diff-ids
	Labels      map[string]string    // added to those of the config
	Annotations map[string]string    // of the manifest
	Platform    *ocispec.Platform    // that was asked for; nil: what the config says
	Epoch       *time.Time           // no time is later
}

// Write stores config and manifest of an image. The manifest's labels keep the collector from what the store has of it.
func Write(ctx context.Context, store *snapshot.Store, p Parts) (manifest, config ocispec.Descriptor, err error) {
	p.finish()
	config, err = writeJSON(ctx, store, ocispec.MediaTypeImageConfig, p.Config, nil)
	if err != nil {
		return manifest, config, err
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: p.Layers, Annotations: p.Annotations,
	}
	refs := []digest.Digest{config.Digest}
	for _, l := range p.Layers {
		refs = append(refs, l.Digest)
	}
	manifest, err = writeJSON(ctx, store, ocispec.MediaTypeImageManifest, m, snapshot.Refs("", refs...))
	platform := p.Config.Platform
	manifest.Platform = &platform
	return manifest, config, err
}

// WriteIndex stores an index of manifests, in their order.
func WriteIndex(ctx context.Context, store *snapshot.Store, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	}
	var refs []digest.Digest
	for _, m := range manifests {
		refs = append(refs, m.Digest)
	}
	return writeJSON(ctx, store, ocispec.MediaTypeImageIndex, index, snapshot.Refs("", refs...))
}

func writeJSON(ctx context.Context, store *snapshot.Store, mediaType string, value any, labels map[string]string) (ocispec.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return store.WriteBlob(ctx, mediaType, data, labels)
}

// finish fills in what the config says of the whole image.
func (p *Parts) finish() {
	c := &p.Config
	c.RootFS.DiffIDs = p.DiffIDs
	if p.Platform != nil {
		c.Platform = requested(c.Platform, *p.Platform)
	}
	for k, v := range p.Labels {
		if c.Config.Labels == nil {
			c.Config.Labels = map[string]string{}
		}
		c.Config.Labels[k] = v
	}
	for i := range c.History {
		c.History[i].Created = p.clamp(c.History[i].Created)
		if c.History[i].Created != nil {
			c.Created = c.History[i].Created
		}
	}
	c.Created = p.clamp(c.Created)
}

// requested is the platform of an image that was asked for one: as in docker that one, also where the last FROM has
// another --platform. What the request leaves open stays as it is.
func requested(have, want ocispec.Platform) ocispec.Platform {
	if have.OS == want.OS && have.Architecture == want.Architecture {
		want.Variant = cmp.Or(want.Variant, have.Variant)
		want.OSVersion = cmp.Or(want.OSVersion, have.OSVersion)
	}
	if want.OSFeatures == nil {
		want.OSFeatures = have.OSFeatures
	}
	return platforms.Normalize(want)
}

// clamp moves a time that is later than the epoch to it.
func (p *Parts) clamp(t *time.Time) *time.Time {
	if t == nil || p.Epoch == nil || !t.After(*p.Epoch) {
		return t
	}
	epoch := p.Epoch.UTC()
	return &epoch
}
