package images

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

func TestHistoryPutsLayersBesideTheirEntries(t *testing.T) {
	layers := []ocispec.Descriptor{{Digest: "sha256:a", Size: 1}, {Digest: "sha256:b", Size: 2}}
	entries := func(empty ...bool) (list []ocispec.History) {
		for _, e := range empty {
			list = append(list, ocispec.History{EmptyLayer: e})
		}
		return list
	}
	for what, test := range map[string]struct {
		history []ocispec.History
		want    []digest.Digest
	}{
		"as it should be":      {entries(false, true, false), []digest.Digest{"sha256:a", "", "sha256:b"}},
		"none":                 {nil, []digest.Digest{"sha256:a", "sha256:b"}},
		"fewer than layers":    {entries(true, false), []digest.Digest{"", "sha256:a", "sha256:b"}},
		"more than layers":     {entries(false, false, false), []digest.Digest{"sha256:a", "sha256:b", ""}},
		"nothing but metadata": {entries(true), []digest.Digest{"", "sha256:a", "sha256:b"}},
	} {
		t.Run(what, func(t *testing.T) {
			img := image.Image{Layers: layers}
			img.Image.RootFS.DiffIDs = []digest.Digest{"sha256:1", "sha256:2"}
			img.Image.History = test.history
			var got []digest.Digest
			for _, e := range history(&img) {
				got = append(got, e.Digest)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
