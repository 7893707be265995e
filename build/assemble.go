package build

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/snapshot"
)

// labelUncompressed is where containerd keeps the diff-id of a layer's blob.
const labelUncompressed = "containerd.io/uncompressed"

// uncompressed are the labels of a layer's blob.
func uncompressed(diffID digest.Digest) map[string]string {
	return map[string]string{labelUncompressed: string(diffID)}
}

// image is a built image in one compression. Its blobs are in the store.
type image struct {
	manifest ocispec.Descriptor
	config   ocispec.Descriptor
	layers   []Layer
}

// assemble writes config and manifest of the target, once for each compression that the outputs need.
func (s *session) assemble(ctx context.Context, target *stage) (map[compress.Compression]image, error) {
	list := map[compress.Compression]image{}
	for _, c := range s.compressions() {
		img, err := s.assembleOne(ctx, target, c)
		if err != nil {
			return nil, fmt.Errorf("assemble the image: %w", err)
		}
		list[c] = img
	}
	return list, nil
}

func (s *session) assembleOne(ctx context.Context, target *stage, c compress.Compression) (image, error) {
	config := cloneImage(target.image)
	layers, err := s.baseLayers(ctx, target.base, c)
	if err != nil {
		return image{}, err
	}
	chains := map[digest.Digest]string{}
	for _, made := range target.made {
		packed, err := s.pack(ctx, made, c)
		if err != nil {
			return image{}, err
		}
		entry := &config.History[made.history]
		if entry.EmptyLayer = packed.Entries == 0; entry.EmptyLayer {
			continue
		}
		below := diffIDs(layers)
		chains[identity.ChainID(append(below, packed.DiffID))] = made.Snapshot
		layers = append(layers, Layer{
			Line: made.line, CreatedBy: entry.CreatedBy, DiffID: packed.DiffID, Digest: packed.Digest, MediaType: packed.MediaType,
			Size: packed.Size, UncompressedSize: packed.UncompressedSize, Cached: made.cached, Seconds: made.Seconds, PackSeconds: packed.Seconds,
			Unchanged: packed.Unchanged, UnchangedBytes: packed.UnchangedBytes, ReusedBytes: packed.ReusedBytes,
		})
	}
	if err := s.cache.PutChains(ctx, chains); err != nil {
		return image{}, err
	}
	if len(layers) == 0 {
		l, err := s.emptyLayer(ctx, c)
		if err != nil {
			return image{}, err
		}
		layers = append(layers, l)
		config.History = append(config.History, ocispec.History{CreatedBy: l.CreatedBy, Comment: comment})
	}
	s.finish(&config, layers)
	return s.writeImage(ctx, target, config, layers)
}

func diffIDs(layers []Layer) []digest.Digest {
	var list []digest.Digest
	for _, l := range layers {
		list = append(list, l.DiffID)
	}
	return list
}

// finish fills in what the config says of the whole image.
func (s *session) finish(config *dockerspec.DockerOCIImage, layers []Layer) {
	config.RootFS.DiffIDs = diffIDs(layers)
	if s.req.Platform != nil {
		config.Platform = requested(config.Platform, s.platform)
	}
	for k, v := range s.req.Labels {
		if config.Config.Labels == nil {
			config.Config.Labels = map[string]string{}
		}
		config.Config.Labels[k] = v
	}
	for i := range config.History {
		config.History[i].Created = s.clamp(config.History[i].Created)
		if config.History[i].Created != nil {
			config.Created = config.History[i].Created
		}
	}
	config.Created = s.clamp(config.Created)
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
func (s *session) clamp(t *time.Time) *time.Time {
	if t == nil || s.req.Epoch == nil || !t.After(*s.req.Epoch) {
		return t
	}
	epoch := s.req.Epoch.UTC()
	return &epoch
}

// writeImage stores config and manifest. Labels keep the collector from what they refer to.
func (s *session) writeImage(ctx context.Context, target *stage, config dockerspec.DockerOCIImage, layers []Layer) (image, error) {
	configDesc, err := s.writeJSON(ctx, ocispec.MediaTypeImageConfig, config, nil)
	if err != nil {
		return image{}, err
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: configDesc, Annotations: target.base.annotations(),
	}
	refs := []digest.Digest{configDesc.Digest}
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
		refs = append(refs, l.Digest)
	}
	desc, err := s.writeJSON(ctx, ocispec.MediaTypeImageManifest, manifest, snapshot.Refs("", refs...))
	if err != nil {
		return image{}, err
	}
	platform := config.Platform
	desc.Platform = &platform
	return image{manifest: desc, config: configDesc, layers: layers}, nil
}

func (s *session) writeJSON(ctx context.Context, mediaType string, value any, labels map[string]string) (ocispec.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return s.store.WriteBlob(ctx, mediaType, data, labels)
}

// baseLayers are the layers of the image that the target is built on, as they are, unless an output wants them packed
// anew.
func (s *session) baseLayers(ctx context.Context, base *baseImage, c compress.Compression) ([]Layer, error) {
	if base == nil {
		return nil, nil
	}
	made := slices.DeleteFunc(slices.Clone(base.config.History), func(h ocispec.History) bool { return h.EmptyLayer })
	var layers []Layer
	for i := range base.layers {
		l, err := s.baseLayer(ctx, base, i, c)
		if err != nil {
			return nil, err
		}
		if len(made) == len(base.layers) {
			l.CreatedBy = made[i].CreatedBy
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// ociLayerType names a layer's media type in OCI's terms; the bytes are the same.
func ociLayerType(mediaType string) string {
	switch mediaType {
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return mediaType
}

// annotations say what the image was built on, by the names of image-spec's annotations page.
func (b *baseImage) annotations() map[string]string {
	if b == nil || b.name == "" {
		return nil
	}
	return map[string]string{
		ocispec.AnnotationBaseImageName:   b.name,
		ocispec.AnnotationBaseImageDigest: string(b.target.Digest),
	}
}
