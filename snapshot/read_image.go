package snapshot

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxJSON bounds indexes, manifests and configs, which are read into memory.
const maxJSON = 8 << 20 // bytes

// image is a manifest that can be unpacked: media types known, digests well formed, a diff-id for each layer.
type image struct {
	manifest ocispec.Descriptor
	config   ocispec.Descriptor
	layers   []ocispec.Descriptor
	diffIDs  []digest.Digest // of the layers
	chain    string
}

// blobs lists all parts, the manifest first.
func (i image) blobs() []digest.Digest {
	all := []digest.Digest{i.manifest.Digest, i.config.Digest}
	for _, l := range i.layers {
		all = append(all, l.Digest)
	}
	return all
}

// configLabel is the label by which containerd's unpacker has a manifest keep its config.
const configLabel = "containerd.io/gc.ref.content.config"

type gcLabel struct {
	from      digest.Digest
	label, to string
}

// gcLabels are the labels that keep the image with its manifest. Those of the layers are set with the config's.
func (i image) gcLabels() []gcLabel {
	return []gcLabel{
		{i.manifest.Digest, configLabel, i.config.Digest.String()},
		{i.config.Digest, snapshotRef, i.chain},
	}
}

// read fetches what describes the image and checks it.
func (p *pull) read(ctx context.Context, manifest ocispec.Descriptor) (image, error) {
	if !images.IsManifestType(manifest.MediaType) {
		return image{}, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("no manifest: unknown media type %q", manifest.MediaType))
	}
	var m ocispec.Manifest
	if err := p.readJSON(ctx, manifest, &m); err != nil {
		return image{}, fmt.Errorf("manifest %s: %w", manifest.Digest, err)
	}
	if err := checkManifest(m); err != nil {
		return image{}, fmt.Errorf("manifest %s: %w", manifest.Digest, err)
	}
	var config ocispec.Image
	if err := p.readJSON(ctx, m.Config, &config); err != nil {
		return image{}, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	diffIDs := config.RootFS.DiffIDs
	if err := checkDiffIDs(diffIDs, len(m.Layers)); err != nil {
		return image{}, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	return image{manifest: manifest, config: m.Config, layers: m.Layers, diffIDs: diffIDs, chain: identity.ChainID(diffIDs).String()}, nil
}

// readJSON reads a blob into v, after fetching it if it is missing or has changed.
func (p *pull) readJSON(ctx context.Context, desc ocispec.Descriptor, v any) error {
	if err := checkDescriptor(desc); err != nil {
		return err
	}
	if err := checkSmall(desc.Size); err != nil {
		return err
	}
	data, err := p.readVerified(ctx, desc)
	if errdefs.IsNotFound(err) || errdefs.IsDataLoss(err) {
		if _, err = p.fetch(ctx, desc); err != nil {
			return err
		}
		data, err = p.store.readSmall(ctx, desc)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// readVerified reads a blob that no lease needs to keep: another process may remove it at any moment.
func (p *pull) readVerified(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if err := p.store.verify(ctx, desc); err != nil {
		return nil, err
	}
	return p.store.readSmall(ctx, desc)
}

// readSmall reads a blob whole. Its own size counts, not what somebody says of it.
func (s *Store) readSmall(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	info, err := s.blobs.Info(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	if err := checkSmall(info.Size); err != nil {
		return nil, err
	}
	return content.ReadBlob(ctx, s.blobs, desc)
}

func checkSmall(size int64) error {
	if size > maxJSON {
		return fmt.Errorf("%d bytes are more than the %d that are read: %w", size, maxJSON, errdefs.ErrInvalidArgument)
	}
	return nil
}

func checkManifest(m ocispec.Manifest) error {
	if !images.IsConfigType(m.Config.MediaType) {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("config has unknown media type %q", m.Config.MediaType))
	}
	for i, layer := range m.Layers {
		if err := checkDescriptor(layer); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
		if !canApply(layer.MediaType) {
			return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("layer %d has unknown media type %q", i+1, layer.MediaType))
		}
	}
	return nil
}

func canApply(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		images.MediaTypeDockerSchema2Layer, images.MediaTypeDockerSchema2LayerGzip, images.MediaTypeDockerSchema2LayerZstd:
		return true
	}
	return false
}

func checkDescriptor(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", desc.Digest, err)
	}
	if desc.Size < 0 {
		return fmt.Errorf("size %d: %w", desc.Size, errdefs.ErrInvalidArgument)
	}
	return nil
}

func checkDiffIDs(diffIDs []digest.Digest, layers int) error {
	if len(diffIDs) != layers {
		return fmt.Errorf("%d diff-ids for %d layers: %w", len(diffIDs), layers, errdefs.ErrInvalidArgument)
	}
	for i, d := range diffIDs {
		if err := d.Validate(); err != nil {
			return fmt.Errorf("diff-id %d %q: %w", i+1, d, err)
		}
	}
	return nil
}
