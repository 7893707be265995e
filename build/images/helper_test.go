package images

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/snapshot"
)

// newTestImages opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newTestImages(t *testing.T) (*Images, context.Context) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root, for the store")
	}
	store, err := snapshot.Open(t.Context(), snapshot.Options{Root: t.TempDir(), Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := New(store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := store.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lease.Release(); err != nil {
			t.Error(err)
		}
	})
	return m, lease.Context(t.Context())
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatal("missing: " + what)
	}
	t.Skip("missing: " + what)
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
