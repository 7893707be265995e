package build

import (
	"bytes"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// emptyTar is a tar without entries as zstd, with a window of 1<<log bytes.
func emptyTar(log byte) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 0x03, 0x20, 0, 0}
}

func TestTheWindowIsThatOfTheFirstFrameWithContent(t *testing.T) {
	skipped := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	whole, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		blob []byte
		want int64
	}{
		"nothing":           {nil, 0},
		"tar":               {make([]byte, 1024), 0},
		"gzip":              {[]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}, 0},
		"cut short":         {emptyTar(20)[:5], 0},
		"16 MiB":            {emptyTar(24), 16 << 20},
		"less than usual":   {emptyTar(20), leastWindow},
		"too large":         {emptyTar(40), maxWindow},
		"one segment":       {whole.EncodeAll(make([]byte, 9<<20), nil), 9 << 20},
		"after others":      {slices.Concat(skipped, skipped, emptyTar(25)), 32 << 20},
		"after very many":   {slices.Concat(bytes.Repeat(skipped, 1000), emptyTar(22)), maxWindow},
		"nothing but empty": {skipped, 0},
	} {
		got, err := window(bytes.NewReader(test.blob))
		if err != nil || got != test.want {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, test.want)
		}
	}
}

func TestTheWindowOfALayerThatIsPackedAnewIsInTheBudget(t *testing.T) {
	b, ctx := newTestBuilder(t)
	b.budget.cores = 1
	zstdLayer, err := b.store.WriteBlob(ctx, ocispec.MediaTypeImageLayerZstd, emptyTar(26), nil)
	if err != nil {
		t.Fatal(err)
	}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(make([]byte, 1024))}}
	name(ctx, t, b, "docker.io/library/base:1", putBlob(ctx, t, b, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: putBlob(ctx, t, b, ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{zstdLayer},
	}))
	gzip := compression(t, "gzip")
	_, err = b.Build(t.Context(), Request{
		Context: t.TempDir(), Buildfile: "Buildfile", BuildfileText: []byte("FROM base:1\n"), Platform: &config.Platform,
		Outputs: []Output{{Type: OutputImage, Compression: &gzip, ForceCompression: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := leastMemory(gzip) + 64<<20; b.PackMemory() != want {
		t.Errorf("packing was allowed %d bytes, want %d", b.PackMemory(), want)
	}
}
