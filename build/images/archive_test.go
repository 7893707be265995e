package images

import (
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

func TestImagesOfOneArchiveCollectTheirNames(t *testing.T) {
	record := func(name string, d digest.Digest) images.Image {
		return images.Image{Name: name, Target: ocispec.Descriptor{Digest: d}}
	}
	list := addRecords(nil, []images.Image{record("a:1", "sha256:a")})
	list = addRecords(list, []images.Image{record("b:1", "sha256:b"), record("b:2", "sha256:b")})
	list = addRecords(list, []images.Image{record("a:2", "sha256:a"), record(image.UntaggedName("sha256:c"), "sha256:c")})
	got := map[digest.Digest][]string{}
	for _, img := range list {
		got[img.Manifest.Digest] = img.Names
	}
	want := map[digest.Digest][]string{"sha256:a": {"a:1", "a:2"}, "sha256:b": {"b:1", "b:2"}, "sha256:c": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
