package export

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/log"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestMain silences containerd's content store, which warns of what a file system cannot do.
func TestMain(m *testing.M) {
	if err := log.SetLevel("fatal"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// needProgram skips a test whose consumer is not installed, or fails it under LBUILD_TEST_STRICT.
func needProgram(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatalf("%s is missing", name)
	}
	t.Skipf("%s is missing", name)
}

func newStore(t testing.TB) (content.Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := local.NewLabeledStore(dir, newLabels())
	if err != nil {
		t.Fatal(err)
	}
	return store, dir
}

// labelStore keeps labels in memory, as local.NewLabeledStore wants them.
type labelStore struct {
	all map[digest.Digest]map[string]string
}

func newLabels() *labelStore { return &labelStore{all: map[digest.Digest]map[string]string{}} }

func (s *labelStore) Get(d digest.Digest) (map[string]string, error) { return s.all[d], nil }

func (s *labelStore) Set(d digest.Digest, labels map[string]string) error {
	s.all[d] = labels
	return nil
}

func (s *labelStore) Update(d digest.Digest, update map[string]string) (map[string]string, error) {
	if s.all[d] == nil {
		s.all[d] = map[string]string{}
	}
	for key, value := range update {
		s.all[d][key] = value
	}
	return s.all[d], nil
}

func put(t testing.TB, store content.Store, mediaType string, data []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(t.Context(), store, desc.Digest.String(), bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
	return desc
}

func putJSON(t testing.TB, store content.Store, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return put(t, store, mediaType, data)
}

// layerTar is a layer with one file.
func layerTar(t testing.TB, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// squeeze compresses a layer and returns it with its media type.
func squeeze(t testing.TB, codec string, plain []byte) ([]byte, string) {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	mediaType := ocispec.MediaTypeImageLayerGzip
	switch codec {
	case "none":
		return plain, ocispec.MediaTypeImageLayer
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		mediaType = ocispec.MediaTypeImageLayerZstd
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), mediaType
}

// putImage makes an image with one layer for each codec. The layers' files are named by their number.
func putImage(t testing.TB, store content.Store, arch string, codecs ...string) ocispec.Descriptor {
	t.Helper()
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	config.RootFS.Type = "layers"
	manifest := ocispec.Manifest{Versioned: ocispecs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i, codec := range codecs {
		plain := layerTar(t, string(rune('a'+i)), arch+codec)
		data, mediaType := squeeze(t, codec, plain)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
		config.History = append(config.History, ocispec.History{CreatedBy: codec})
		manifest.Layers = append(manifest.Layers, put(t, store, mediaType, data))
	}
	if manifest.Layers == nil {
		manifest.Layers = []ocispec.Descriptor{}
		config.RootFS.DiffIDs = []digest.Digest{}
	}
	manifest.Config = putJSON(t, store, ocispec.MediaTypeImageConfig, config)
	desc := putJSON(t, store, manifest.MediaType, manifest)
	desc.Platform = &config.Platform
	return desc
}

// putImageWith makes an image of one plain layer that is in the store.
func putImageWith(t testing.TB, store content.Store, layer ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS.DiffIDs = []digest.Digest{layer.Digest}
	return putJSON(t, store, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: ocispecs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    putJSON(t, store, ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{layer},
	})
}

func putIndex(t testing.TB, store content.Store, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return putJSON(t, store, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: ocispecs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: manifests,
	})
}

func firstLayer(t testing.TB, store content.Store, manifest ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	m, err := firstManifest(t.Context(), store, manifest)
	if err != nil {
		t.Fatal(err)
	}
	return m.Layers[0]
}

// damage flips the bytes of a blob in a store or layout directory.
func damage(t testing.TB, dir string, desc ocispec.Descriptor) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(blobPath(desc)))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] ^= 0xff
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeArchive(t testing.TB, fn func(io.Writer) error) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.tar")
	if err := File(name, fn); err != nil {
		t.Fatal(err)
	}
	return name
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
