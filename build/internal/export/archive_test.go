package export

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var allCodecs = []string{"gzip", "zstd", "none"}

func TestOCINamesEachReferenceInTheIndex(t *testing.T) {
	store, _ := newStore(t)
	img := Image{Manifest: putImage(t, store, "amd64", "gzip"), Names: []string{"docker.io/library/x:one", "r.example/y:two"}}
	var b bytes.Buffer
	if err := OCI(t.Context(), store, &b, img); err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(archiveFile(t, b.Bytes(), "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	var got []map[string]string
	for _, m := range index.Manifests {
		got = append(got, m.Annotations)
	}
	want := []map[string]string{
		{"io.containerd.image.name": "docker.io/library/x:one", "org.opencontainers.image.ref.name": "one"},
		{"io.containerd.image.name": "r.example/y:two", "org.opencontainers.image.ref.name": "two"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func archiveFile(t testing.TB, archive []byte, name string) []byte {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		hdr, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if hdr.Name == name {
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
}

func TestArchivesHaveTheSameBytesEachTime(t *testing.T) {
	var want [2][]byte
	for range 5 {
		// Labels and annotations tell of this machine's past, which must not show.
		store, _ := newStore(t)
		a, b := putImage(t, store, "amd64", allCodecs...), putImage(t, store, "arm64", allCodecs...)
		imgs := []Image{{Manifest: a, Names: []string{"x:1", "x:2"}}, {Manifest: b, Names: []string{"y"}}, {Manifest: putIndex(t, store, a, b)}}
		for i, write := range []func(io.Writer) error{
			func(w io.Writer) error { return OCI(t.Context(), store, w, imgs[0]) },
			func(w io.Writer) error { return Docker(t.Context(), store, w, imgs) },
		} {
			var buf bytes.Buffer
			if err := write(&buf); err != nil {
				t.Fatal(err)
			}
			if want[i] == nil {
				want[i] = buf.Bytes()
			}
			if !bytes.Equal(want[i], buf.Bytes()) {
				t.Errorf("archive %d differs", i)
			}
		}
	}
}

func TestArchiveHeadersSayNothingOfTheMachine(t *testing.T) {
	store, _ := newStore(t)
	var b bytes.Buffer
	if err := OCI(t.Context(), store, &b, Image{Manifest: putImage(t, store, "amd64")}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&b); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.SplitAfter(hdr.Name, "sha256/")[0])
		if hdr.ModTime.Unix() != 0 || hdr.Uid != 0 || hdr.Gid != 0 || hdr.Uname != "" || hdr.Mode != 0o644 && hdr.Mode != 0o755 {
			t.Errorf("%s: %+v", hdr.Name, hdr)
		}
	}
	want := []string{"blobs/", "blobs/sha256/", "blobs/sha256/", "blobs/sha256/", "index.json", "oci-layout"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestOthersReadTheArchives(t *testing.T) {
	needProgram(t, "skopeo")
	for _, test := range []struct {
		name   string
		codecs []string
	}{{"all codecs", allCodecs}, {"no layers", nil}, {"same layer twice", []string{"gzip", "gzip"}}} {
		t.Run(test.name, func(t *testing.T) {
			store, _ := newStore(t)
			img := Image{Manifest: putImage(t, store, "amd64", test.codecs...), Names: []string{"docker.io/library/x:v1"}}
			oci := writeArchive(t, func(w io.Writer) error { return OCI(t.Context(), store, w, img) })
			docker := writeArchive(t, func(w io.Writer) error { return Docker(t.Context(), store, w, []Image{img}) })
			dir := filepath.Join(t.TempDir(), "layout")
			if err := OCIDir(t.Context(), store, dir, img); err != nil {
				t.Fatal(err)
			}
			for _, source := range []string{"oci-archive:" + oci, "oci-archive:" + oci + ":v1", "oci:" + dir + ":v1", "docker-archive:" + docker, "docker-archive:" + docker + ":x:v1"} {
				out := filepath.Join(t.TempDir(), "out")
				run(t, "skopeo", "--insecure-policy", "copy", source, "oci:"+out+":copied")
				if got := run(t, "skopeo", "inspect", source); !strings.Contains(got, `"amd64"`) {
					t.Errorf("inspect %s: %s", source, got)
				}
			}
		})
	}
}

func TestUmociUnpacksTheLayout(t *testing.T) {
	needProgram(t, "umoci")
	store, _ := newStore(t)
	dir := filepath.Join(t.TempDir(), "layout")
	img := Image{Manifest: putImage(t, store, "amd64", "gzip", "none"), Names: []string{"docker.io/library/x:v1"}}
	if err := OCIDir(t.Context(), store, dir, img); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	run(t, "umoci", "unpack", "--image", dir+":v1", bundle)
	got, err := os.ReadFile(filepath.Join(bundle, "rootfs", "b"))
	if err != nil || string(got) != "amd64none" {
		t.Errorf("file of the upper layer: %q, %v", got, err)
	}
}

func TestDamagedBlobIsNamed(t *testing.T) {
	store, dir := newStore(t)
	manifest := putImage(t, store, "amd64", "gzip")
	layer := firstLayer(t, store, manifest)
	damage(t, dir, layer)
	img := Image{Manifest: manifest, Names: []string{"x:1"}}
	layout := filepath.Join(t.TempDir(), "layout")
	for name, err := range map[string]error{
		"oci":    OCI(t.Context(), store, io.Discard, img),
		"docker": Docker(t.Context(), store, io.Discard, []Image{img}),
		"dir":    OCIDir(t.Context(), store, layout, img),
	} {
		if err == nil || !strings.Contains(err.Error(), layer.Digest.String()+" is damaged") {
			t.Errorf("%s: got %v, want the digest %s", name, err, layer.Digest)
		}
	}
	if _, err := os.Stat(filepath.Join(layout, "index.json")); !os.IsNotExist(err) {
		t.Errorf("index.json of an incomplete layout: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(layout, "blobs", "sha256", ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDockerManifestNamesTags(t *testing.T) {
	store, _ := newStore(t)
	manifest := putImage(t, store, "amd64")
	names := []string{"docker.io/library/x:v1", "r.example/y:v2", "r.example/y@" + manifest.Digest.String()}
	var b bytes.Buffer
	if err := Docker(t.Context(), store, &b, []Image{{Manifest: manifest, Names: names}}); err != nil {
		t.Fatal(err)
	}
	var got []dockerEntry
	if err := json.Unmarshal(archiveFile(t, b.Bytes(), "manifest.json"), &got); err != nil {
		t.Fatal(err)
	}
	m, err := firstManifest(t.Context(), store, manifest)
	if err != nil {
		t.Fatal(err)
	}
	want := []dockerEntry{{Config: blobPath(m.Config), RepoTags: []string{"x:v1", "r.example/y:v2"}, Layers: []string{}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
