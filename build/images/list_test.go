package images

import (
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestOfAnIndexTheManifestThatIsHereCounts(t *testing.T) {
	m, ctx := newTestImages(t)
	arm, armConfig := putManifest(ctx, t, m, "arm", "arm64")
	riscv, _ := putManifest(ctx, t, m, "riscv", "riscv64")
	absent := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("absent"), Size: 6,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"},
	}
	attestation := riscv
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	index := func(list ...ocispec.Descriptor) ocispec.Descriptor {
		return putBlob(ctx, t, m, ocispec.MediaTypeImageIndex, ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list,
		})
	}
	partial := index(attestation, absent, arm)
	name(ctx, t, m, "docker.io/library/app:1", partial)
	list, err := m.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Platform != "linux/arm64" || list[0].Config != armConfig.Digest || list[0].Digest != partial.Digest {
		t.Errorf("got %+v", list)
	}
	for what, test := range map[string]struct{ in, want ocispec.Descriptor }{
		"a manifest stands for itself":    {arm, arm},
		"an index that lacks some":        {partial, arm},
		"an index that is whole":          {index(arm, riscv), index(arm, riscv)},
		"an index in an index":            {index(index(arm)), index(index(arm))},
		"an index in one that lacks some": {index(index(absent, arm)), arm},
		"an index that lacks an index":    {index(absent, index(arm)), arm},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := m.whole(ctx, test.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Digest != test.want.Digest {
				t.Errorf("got %s, want %s", got.Digest, test.want.Digest)
			}
		})
	}
}

func TestADamagedImageIsStillListed(t *testing.T) {
	m, ctx := newTestImages(t)
	good, _ := putManifest(ctx, t, m, "good", "amd64")
	broken := putBlob(ctx, t, m, ocispec.MediaTypeImageManifest, "not a manifest")
	name(ctx, t, m, "docker.io/library/good:1", good)
	name(ctx, t, m, "docker.io/library/broken:1", broken)
	list, err := m.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Errorf("got %+v, want two images", list)
	}
	if _, err := m.History(ctx, "broken:1"); err == nil {
		t.Error("the history of a damaged image is no error")
	}
	if records, err := m.find(ctx, broken.Digest.String()); err != nil || len(records) != 1 {
		t.Errorf("by digest: got %v and %v", records, err)
	}
}
