package image

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestMain silences containerd's content store, which warns of what a file system cannot do.
func TestMain(m *testing.M) {
	if err := log.SetLevel("fatal"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func newStore(t *testing.T) content.Store {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func put(t *testing.T, store content.Store, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(t.Context(), store, desc.Digest.String(), strings.NewReader(string(data)), desc); err != nil {
		t.Fatal(err)
	}
	return desc
}

// on gives desc a platform; "" is none.
func on(platform string, desc ocispec.Descriptor) ocispec.Descriptor {
	if platform == "" {
		return desc
	}
	p := ocispec.Platform{OS: "unknown", Architecture: "unknown"} // attestations
	if platform != "unknown" {
		p = platforms.MustParse(platform)
	}
	desc.Platform = &p
	return desc
}

// shelf makes manifests and indexes.
type shelf struct {
	t     *testing.T
	store content.Store
}

func (s shelf) manifest(platform, name string) ocispec.Descriptor {
	manifest := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Annotations: map[string]string{"name": name}}
	return on(platform, put(s.t, s.store, ocispec.MediaTypeImageManifest, manifest))
}

func (s shelf) absent(platform string) ocispec.Descriptor {
	return on(platform, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("absent " + platform), Size: 6})
}

func (s shelf) index(entries ...ocispec.Descriptor) ocispec.Descriptor {
	return put(s.t, s.store, ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: entries})
}

func TestManifestIsTheOneThatFitsBest(t *testing.T) {
	s := shelf{t, newStore(t)}
	amd, arm, riscv := s.manifest("linux/amd64", "amd"), s.manifest("linux/arm64", "arm"), s.manifest("linux/riscv64", "riscv")
	v6, v7, plain := s.manifest("linux/arm/v6", "v6"), s.manifest("linux/arm/v7", "v7"), s.manifest("", "plain")
	attestation, proof := s.manifest("unknown", "attestation"), s.manifest("", "proof")
	proof.ArtifactType = images.MediaTypeInToto
	text := s.manifest("linux/amd64", "text")
	text.MediaType = "text/plain"
	only := func(platform string) platforms.MatchComparer { return platforms.Only(platforms.MustParse(platform)) }
	prefer := func(platform string) platforms.MatchComparer { return Prefer(only(platform)) }
	stored := Options{Stored: true}
	for name, test := range map[string]struct {
		in       ocispec.Descriptor
		platform platforms.MatchComparer
		opts     Options
		want     ocispec.Descriptor
	}{
		"a manifest stands for itself":            {riscv, only("linux/amd64"), Options{}, riscv},
		"the platform":                            {s.index(arm, amd), only("linux/amd64"), Options{}, amd},
		"the best variant":                        {s.index(v6, v7), only("linux/arm/v7"), Options{}, v7},
		"a platform before none":                  {s.index(plain, amd), only("linux/amd64"), Options{}, amd},
		"none before another":                     {s.index(arm, plain), only("linux/amd64"), Options{}, plain},
		"the first of all":                        {s.index(arm, amd), platforms.All, Options{}, arm},
		"attestations are no images":              {s.index(attestation, proof, text, amd), platforms.All, Options{}, amd},
		"an index in an index":                    {s.index(s.index(s.index(s.index(amd)))), only("linux/amd64"), Options{}, amd},
		"one that is absent":                      {s.index(s.absent("linux/amd64")), only("linux/amd64"), Options{}, s.absent("linux/amd64")},
		"the stored one, if any platform will do": {s.index(attestation, s.absent("linux/amd64"), arm), prefer("linux/amd64"), stored, arm},
		"the preferred one":                       {s.index(arm, amd), prefer("linux/amd64"), stored, amd},
		"the stored one of the platform":          {s.index(s.absent("linux/arm/v7"), v6, amd), only("linux/arm/v7"), stored, v6},
		"the index that is stored":                {s.index(s.absent(""), s.index(arm)), prefer("linux/amd64"), stored, arm},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Manifest(t.Context(), s.store, test.in, test.platform, test.opts)
			if err != nil || got.Digest != test.want.Digest {
				t.Errorf("got %s, %v; want %s", got.Digest, err, test.want.Digest)
			}
		})
	}
}

func TestManifestSaysWhatThereIs(t *testing.T) {
	s := shelf{t, newStore(t)}
	amd, arm := s.manifest("linux/amd64", "amd"), s.manifest("linux/arm64", "arm")
	deep := amd
	for range maxNesting + 1 {
		deep = s.index(deep)
	}
	absent := s.absent("")
	absent.MediaType = ocispec.MediaTypeImageIndex
	twoFaced := put(t, s.store, ocispec.MediaTypeImageIndex, map[string]any{"manifests": []any{amd}, "layers": []any{amd}})
	for name, test := range map[string]struct {
		in       ocispec.Descriptor
		opts     Options
		notFound bool
		want     string
	}{
		"other platforms":  {s.index(s.manifest("unknown", "x"), amd, arm), Options{}, true, "no image for the platform; there are linux/amd64, linux/arm64"},
		"stored platforms": {s.index(s.absent("linux/s390x"), arm), Options{Stored: true}, true, "no image for the platform; there are linux/arm64"},
		"nothing":          {s.index(), Options{}, true, "no image for the platform, and none for any other"},
		"nothing stored":   {s.index(s.absent("linux/s390x")), Options{Stored: true}, true, "none of its manifests is in the store"},
		"endless indexes":  {deep, Options{}, false, "more than 4 indexes within each other"},
		"no index":         {twoFaced, Options{}, false, "is a manifest"},
		"absent":           {absent, Options{}, true, "read " + ocispec.MediaTypeImageIndex},
	} {
		t.Run(name, func(t *testing.T) {
			platform := platforms.Only(platforms.MustParse("linux/s390x"))
			if name == "endless indexes" {
				platform = platforms.All
			}
			_, err := Manifest(t.Context(), s.store, test.in, platform, test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || errdefs.IsNotFound(err) != test.notFound {
				t.Errorf("got %v, want %q, not found: %t", err, test.want, test.notFound)
			}
		})
	}
}

// broken is a store that has lost its disk.
type broken struct{ content.Store }

var errDisk = errors.New("disk")

func (broken) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return nil, errDisk
}

func TestTroubleWithTheStoreIsNoAbsence(t *testing.T) {
	s := shelf{t, newStore(t)}
	if _, err := Complete(t.Context(), broken{s.store}, s.index()); !errors.Is(err, errDisk) {
		t.Errorf("complete: got %v", err)
	}
	if _, err := Manifest(t.Context(), broken{s.store}, s.index(), platforms.All, Options{Stored: true}); !errors.Is(err, errDisk) {
		t.Errorf("manifest: got %v", err)
	}
}

func TestConfigOfAnySizeIsNotReadIntoMemory(t *testing.T) {
	store := newStore(t)
	desc := put(t, store, ocispec.MediaTypeImageConfig, strings.Repeat("x", maxSize))
	desc.Size = 2
	var text string
	if err := ReadJSON(t.Context(), store, desc, &text); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want that it is too large", err)
	}
}
