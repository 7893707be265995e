package images

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

func TestAnImageIsFoundByNameTagAndDigest(t *testing.T) {
	m, ctx := newTestImages(t)
	one, oneConfig := putManifest(ctx, t, m, "one", "amd64")
	two, _ := putManifest(ctx, t, m, "two", "amd64")
	name(ctx, t, m, "docker.io/library/app:latest", one)
	name(ctx, t, m, "docker.io/library/app:1", one)
	name(ctx, t, m, "example.com:5000/team/app:2", two)
	name(ctx, t, m, image.UntaggedName(two.Digest), two)
	name(ctx, t, m, "docker.io/library/cafe:latest", two) // a name that looks like a digest

	both := []string{"docker.io/library/app:1", "docker.io/library/app:latest"}
	twos := []string{"docker.io/library/cafe:latest", "example.com:5000/team/app:2", image.UntaggedName(two.Digest)}
	for ref, want := range map[string][]string{
		"app":                                 {"docker.io/library/app:latest"},
		"app:1":                               {"docker.io/library/app:1"},
		"library/app:1":                       {"docker.io/library/app:1"},
		"docker.io/library/app":               {"docker.io/library/app:latest"},
		"example.com:5000/team/app:2":         {"example.com:5000/team/app:2"},
		"example.com:5000/team/app":           nil,
		"app:2":                               nil,
		one.Digest.String():                   both,
		one.Digest.Encoded():                  both,
		one.Digest.Encoded()[:12]:             both,
		"sha256:" + one.Digest.Encoded()[:12]: both,
		oneConfig.Digest.Encoded()[:12]:       both,
		two.Digest.Encoded()[:12]:             twos,
		one.Digest.Encoded()[:3]:              nil,
		"app@" + one.Digest.String():          {"docker.io/library/app:1"},
		"app@" + two.Digest.String():          nil,
		"cafe":                                {"docker.io/library/cafe:latest"},
		"":                                    nil,
		"UPPER":                               nil,
		digest.FromString("nothing").String(): nil,
	} {
		t.Run(ref, func(t *testing.T) {
			records, err := m.find(ctx, ref)
			if want == nil {
				if !errdefs.IsNotFound(err) {
					t.Errorf("got %v and %v, want not found", records, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range records {
				got = append(got, r.Name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAPrefixOfTwoImagesIsAmbiguous(t *testing.T) {
	m, ctx := newTestImages(t)
	for _, full := range []string{"docker.io/library/a:1", "docker.io/library/b:1"} {
		d := digest.NewDigestFromEncoded(digest.SHA256, "abcd"+digest.FromString(full).Encoded()[4:])
		name(ctx, t, m, full, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1})
	}
	records, err := m.find(ctx, "abcd")
	if err == nil || errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "more than one image") {
		t.Errorf("got %v and %v, want that it is ambiguous", records, err)
	}
}
