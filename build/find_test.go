package build

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// newTestBuilder opens a store that the test alone uses, and holds a lease so that what it writes is kept.
func newTestBuilder(t *testing.T) (*Builder, context.Context) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root, for the store")
	}
	store, err := OpenStore(t.Context(), t.TempDir(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	b, err := New(Options{Store: store})
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
	return b, lease.Context(t.Context())
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatal("missing: " + what)
	}
	t.Skip("missing: " + what)
}

// putBlob stores a value as JSON.
func putBlob(ctx context.Context, t *testing.T, b *Builder, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := b.store.WriteBlob(ctx, mediaType, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// putManifest stores an image without layers; its author makes it different from others.
func putManifest(ctx context.Context, t *testing.T, b *Builder, author, arch string) (manifest, config ocispec.Descriptor) {
	t.Helper()
	platform := ocispec.Platform{OS: "linux", Architecture: arch}
	config = putBlob(ctx, t, b, ocispec.MediaTypeImageConfig, ocispec.Image{Author: author, Platform: platform})
	manifest = putBlob(ctx, t, b, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config,
	})
	manifest.Platform = &platform
	return manifest, config
}

func name(ctx context.Context, t *testing.T, b *Builder, full string, target ocispec.Descriptor) {
	t.Helper()
	if err := b.putImage(ctx, full, target); err != nil {
		t.Fatal(err)
	}
}

func TestAnImageIsFoundByNameTagAndDigest(t *testing.T) {
	b, ctx := newTestBuilder(t)
	one, oneConfig := putManifest(ctx, t, b, "one", "amd64")
	two, _ := putManifest(ctx, t, b, "two", "amd64")
	name(ctx, t, b, "docker.io/library/app:latest", one)
	name(ctx, t, b, "docker.io/library/app:1", one)
	name(ctx, t, b, "example.com:5000/team/app:2", two)
	name(ctx, t, b, untagged(two.Digest), two)
	name(ctx, t, b, "docker.io/library/cafe:latest", two) // a name that looks like a digest

	both := []string{"docker.io/library/app:1", "docker.io/library/app:latest"}
	twos := []string{"docker.io/library/cafe:latest", "example.com:5000/team/app:2", untagged(two.Digest)}
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
			records, err := b.find(ctx, ref)
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
	b, ctx := newTestBuilder(t)
	for _, full := range []string{"docker.io/library/a:1", "docker.io/library/b:1"} {
		d := digest.NewDigestFromEncoded(digest.SHA256, "abcd"+digest.FromString(full).Encoded()[4:])
		name(ctx, t, b, full, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1})
	}
	records, err := b.find(ctx, "abcd")
	if err == nil || errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "more than one image") {
		t.Errorf("got %v and %v, want that it is ambiguous", records, err)
	}
}

func TestOfAnIndexTheManifestThatIsHereCounts(t *testing.T) {
	b, ctx := newTestBuilder(t)
	arm, armConfig := putManifest(ctx, t, b, "arm", "arm64")
	riscv, _ := putManifest(ctx, t, b, "riscv", "riscv64")
	absent := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("absent"), Size: 6,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"},
	}
	attestation := riscv
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	index := func(list ...ocispec.Descriptor) ocispec.Descriptor {
		return putBlob(ctx, t, b, ocispec.MediaTypeImageIndex, ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list,
		})
	}
	partial := index(attestation, absent, arm)
	name(ctx, t, b, "docker.io/library/app:1", partial)
	list, err := b.Images(ctx)
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
			got, err := b.whole(ctx, test.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Digest != test.want.Digest {
				t.Errorf("got %s, want %s", got.Digest, test.want.Digest)
			}
		})
	}
	deep := arm
	for range maxNesting + 1 {
		deep = index(deep)
	}
	if _, err := b.whole(ctx, deep); err == nil {
		t.Error("endless indexes were followed")
	}
	if _, err := b.localManifest(ctx, index(absent)); !errdefs.IsNotFound(err) {
		t.Errorf("an index with nothing here: got %v, want not found", err)
	}
}

func TestTagAndRemoveKeepTheOtherNames(t *testing.T) {
	b, ctx := newTestBuilder(t)
	one, _ := putManifest(ctx, t, b, "one", "amd64")
	two, _ := putManifest(ctx, t, b, "two", "amd64")
	name(ctx, t, b, "docker.io/library/app:1", one)
	name(ctx, t, b, "docker.io/library/app:2", two)
	for _, target := range []string{"app", "example.com/x:3", "app:2"} { // app:2 moves
		if err := b.Tag(ctx, "app:1", target); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "UPPER", "app@" + one.Digest.String()} {
		if err := b.Tag(ctx, "app:1", bad); err == nil {
			t.Errorf("name %q was taken", bad)
		}
	}
	if err := b.Tag(ctx, "nothing", "app:4"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
	want := map[string]digest.Digest{
		"docker.io/library/app:1": one.Digest, "docker.io/library/app:2": one.Digest,
		"docker.io/library/app:latest": one.Digest, "example.com/x:3": one.Digest,
	}
	if diff := cmp.Diff(want, targets(ctx, t, b)); diff != "" {
		t.Errorf("tagged: -want +got:\n%s", diff)
	}

	removed, err := b.Remove(ctx, []string{"app:1", "nothing", "example.com/x:3"})
	if !errdefs.IsNotFound(err) {
		t.Errorf("got %v, want that one name is not found", err)
	}
	if diff := cmp.Diff([]string{"docker.io/library/app:1", "example.com/x:3"}, removed); diff != "" {
		t.Errorf("removed: -want +got:\n%s", diff)
	}
	removed, err = b.Remove(ctx, []string{one.Digest.String()})
	if err != nil || len(removed) != 2 {
		t.Errorf("by digest: got %v and %v, want two names", removed, err)
	}
	if diff := cmp.Diff(map[string]digest.Digest{}, targets(ctx, t, b)); diff != "" {
		t.Errorf("at the end: -want +got:\n%s", diff)
	}
}

func targets(ctx context.Context, t *testing.T, b *Builder) map[string]digest.Digest {
	t.Helper()
	records, err := b.store.Images().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return maps.Collect(func(yield func(string, digest.Digest) bool) {
		for _, r := range records {
			if !yield(r.Name, r.Target.Digest) {
				return
			}
		}
	})
}

func TestADamagedImageIsStillListed(t *testing.T) {
	b, ctx := newTestBuilder(t)
	good, _ := putManifest(ctx, t, b, "good", "amd64")
	broken := putBlob(ctx, t, b, ocispec.MediaTypeImageManifest, "not a manifest")
	name(ctx, t, b, "docker.io/library/good:1", good)
	name(ctx, t, b, "docker.io/library/broken:1", broken)
	list, err := b.Images(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Errorf("got %+v, want two images", list)
	}
	if _, err := b.History(ctx, "broken:1"); err == nil {
		t.Error("the history of a damaged image is no error")
	}
	if records, err := b.find(ctx, broken.Digest.String()); err != nil || len(records) != 1 {
		t.Errorf("by digest: got %v and %v", records, err)
	}
}

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
			img := storedImage{layers: layers}
			img.image.RootFS.DiffIDs = []digest.Digest{"sha256:1", "sha256:2"}
			img.image.History = test.history
			var got []digest.Digest
			for _, e := range img.history() {
				got = append(got, e.Digest)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestImagesOfOneArchiveCollectTheirNames(t *testing.T) {
	record := func(name string, d digest.Digest) images.Image {
		return images.Image{Name: name, Target: ocispec.Descriptor{Digest: d}}
	}
	list := addRecords(nil, []images.Image{record("a:1", "sha256:a")})
	list = addRecords(list, []images.Image{record("b:1", "sha256:b"), record("b:2", "sha256:b")})
	list = addRecords(list, []images.Image{record("a:2", "sha256:a"), record(untagged("sha256:c"), "sha256:c")})
	got := map[digest.Digest][]string{}
	for _, img := range list {
		got[img.Manifest.Digest] = img.Names
	}
	want := map[digest.Digest][]string{"sha256:a": {"a:1", "a:2"}, "sha256:b": {"b:1", "b:2"}, "sha256:c": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestConfigOfAnySizeIsNotReadIntoMemory(t *testing.T) {
	b, ctx := newTestBuilder(t)
	desc := putBlob(ctx, t, b, ocispec.MediaTypeImageConfig, strings.Repeat("x", maxJSON))
	desc.Size = 2
	var text string
	if err := readJSON(ctx, b.store.Content(), desc, &text); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want that it is too large", err)
	}
}
