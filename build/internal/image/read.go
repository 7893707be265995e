package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxSize bounds indexes, manifests and configs, which are read into memory.
const maxSize = 8 << 20 // bytes

// Image is what a manifest and its config say.
type Image struct {
	Manifest ocispec.Descriptor
	Config   ocispec.Descriptor
	Image    dockerspec.DockerOCIImage // the content of the config
	Layers   []ocispec.Descriptor      // bottom to top, as many as the config has diff-ids
}

// Read reads a manifest and its config, and refuses them if they disagree on the number of layers.
func Read(ctx context.Context, store content.Provider, manifest ocispec.Descriptor) (Image, error) {
	var m ocispec.Manifest
	if err := ReadJSON(ctx, store, manifest, &m); err != nil {
		return Image{}, err
	}
	img := Image{Manifest: manifest, Config: m.Config, Layers: m.Layers}
	if err := ReadJSON(ctx, store, m.Config, &img.Image); err != nil {
		return Image{}, err
	}
	if layers, diffIDs := len(img.Layers), len(img.Image.RootFS.DiffIDs); layers != diffIDs {
		return Image{}, fmt.Errorf("image %s and its config disagree on the number of layers: %d and %d", manifest.Digest, layers, diffIDs)
	}
	return img, nil
}

// ReadJSON decodes a manifest, an index or a config. It does not compare the bytes with their digest.
func ReadJSON(ctx context.Context, store content.Provider, desc ocispec.Descriptor, into any) error {
	data, err := readSmall(ctx, store, desc)
	if err != nil {
		return fmt.Errorf("read %s %s: %w", desc.MediaType, desc.Digest, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s %s: %w", desc.MediaType, desc.Digest, err)
	}
	return nil
}

// readSmall reads a blob whole. Its own size counts, not what somebody says of it.
func readSmall(ctx context.Context, store content.Provider, desc ocispec.Descriptor) (_ []byte, err error) {
	blob, err := store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	if blob.Size() > maxSize {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", blob.Size(), maxSize)
	}
	data := make([]byte, blob.Size())
	_, err = io.ReadFull(content.NewReader(blob), data)
	return data, err
}
