package images

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/storetest"
)

// newTestImages opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newTestImages(t *testing.T) (*Images, context.Context) {
	t.Helper()
	store := storetest.Open(t)
	m, err := New(store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m, storetest.Lease(t, store)
}

// putBlob stores a value as JSON.
func putBlob(ctx context.Context, t *testing.T, m *Images, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := m.store.WriteBlob(ctx, mediaType, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// putManifest stores an image without layers; its author makes it different from others.
func putManifest(ctx context.Context, t *testing.T, m *Images, author, arch string) (manifest, config ocispec.Descriptor) {
	t.Helper()
	platform := ocispec.Platform{OS: "linux", Architecture: arch}
	config = putBlob(ctx, t, m, ocispec.MediaTypeImageConfig, ocispec.Image{Author: author, Platform: platform})
	manifest = putBlob(ctx, t, m, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config,
	})
	manifest.Platform = &platform
	return manifest, config
}

func name(ctx context.Context, t *testing.T, m *Images, full string, target ocispec.Descriptor) {
	t.Helper()
	if err := image.SetName(ctx, m.store.Images(), full, target); err != nil {
		t.Fatal(err)
	}
}
