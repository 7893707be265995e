// Package image reads the OCI layouts that builders write, and tells whether two images hold the same.
package image

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is the only image of an OCI layout in a directory.
type Image struct {
	// Dir is the layout's directory.
	Dir string
	// Digest is that of the manifest.
	Digest digest.Digest
	// Layers are the layers, bottom to top.
	Layers []ocispec.Descriptor
}

// Open reads a layout with one image. Indexes that lead to it may be nested.
func Open(dir string) (Image, error) {
	var index ocispec.Index
	if err := decode(filepath.Join(dir, ocispec.ImageIndexFile), &index); err != nil {
		return Image{}, err
	}
	for {
		if len(index.Manifests) != 1 {
			return Image{}, fmt.Errorf("%s: %d images, want one", dir, len(index.Manifests))
		}
		desc := index.Manifests[0]
		if desc.MediaType != ocispec.MediaTypeImageIndex {
			return openManifest(dir, desc.Digest)
		}
		index = ocispec.Index{}
		if err := decode(blob(dir, desc.Digest), &index); err != nil {
			return Image{}, err
		}
	}
}

func openManifest(dir string, name digest.Digest) (Image, error) {
	var manifest ocispec.Manifest
	if err := decode(blob(dir, name), &manifest); err != nil {
		return Image{}, err
	}
	return Image{Dir: dir, Digest: name, Layers: manifest.Layers}, nil
}

func decode(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func blob(dir string, name digest.Digest) string {
	return filepath.Join(dir, ocispec.ImageBlobsDir, name.Algorithm().String(), name.Encoded())
}

// Above is the number and the size of the layers beside those of a base. Builders may pack the base anew, so its layers are
// counted and not compared.
func (i Image) Above(base Image) (layers int, size int64) {
	above := i.Layers[min(len(base.Layers), len(i.Layers)):]
	for _, l := range above {
		size += l.Size
	}
	return len(above), size
}

// Blob is the path of a layer.
func (i Image) Blob(layer ocispec.Descriptor) string { return blob(i.Dir, layer.Digest) }
