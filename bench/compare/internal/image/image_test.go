package image

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// put writes a value as a blob of a layout and returns its descriptor.
func put(t *testing.T, dir, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	if err := os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob(dir, desc.Digest), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return desc
}

func index(t *testing.T, dir string, manifests ...ocispec.Descriptor) {
	t.Helper()
	text, err := json.Marshal(ocispec.Index{Manifests: manifests})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpenFollowsNestedIndexes(t *testing.T) {
	dir := t.TempDir()
	layers := []ocispec.Descriptor{{Digest: "sha256:a", Size: 1}, {Digest: "sha256:b", Size: 20}, {Digest: "sha256:c", Size: 300}}
	manifest := put(t, dir, ocispec.MediaTypeImageManifest, ocispec.Manifest{Layers: layers})
	index(t, dir, put(t, dir, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{manifest}}))
	got, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Image{Dir: dir, Digest: manifest.Digest, Layers: layers}, got); d != "" {
		t.Error(d)
	}
	if n, size := got.Above(Image{Layers: layers[:1]}); n != 2 || size != 320 {
		t.Errorf("%d layers of %d bytes above the base, want 2 of 320", n, size)
	}
	if n, size := (Image{}).Above(got); n != 0 || size != 0 {
		t.Errorf("%d layers of %d bytes above a larger base, want none", n, size)
	}
}

func TestOpenRefusesALayoutWithTwoImages(t *testing.T) {
	dir := t.TempDir()
	index(t, dir, ocispec.Descriptor{Digest: "sha256:a"}, ocispec.Descriptor{Digest: "sha256:b"})
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "2 images") {
		t.Errorf("error is %v", err)
	}
}

func TestDifferentTellsContentModeAndNamesButNoTimesAndNothingIgnored(t *testing.T) {
	one, other := t.TempDir(), t.TempDir()
	for dir, text := range map[string]string{one: "1", other: "2"} {
		for _, d := range []string{"log", "logs"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []string{"log/f", "logs/f", "same-" + text} {
			if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := stopClocks(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Different(t.Context(), one, other, []string{"log"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"delete /same-1", "modify /logs/f", "add /same-2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
