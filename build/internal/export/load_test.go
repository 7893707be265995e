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

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestArchivesComeBackTheSame(t *testing.T) {
	for _, format := range []string{"oci", "docker", "oci.gz"} {
		t.Run(format, func(t *testing.T) {
			from, _ := newStore(t)
			want := Image{Manifest: putImage(t, from, "amd64", allCodecs...), Names: []string{"docker.io/library/x:1", "r.example/y:2"}}
			var b bytes.Buffer
			writeAs(t, &b, format, from, want)
			store, _ := newStore(t)
			got, err := LoadArchive(t.Context(), store, &b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Image{want}, got); diff != "" {
				t.Error(diff)
			}
			if _, err := parts(t.Context(), store, got[0].Manifest); err != nil {
				t.Error(err)
			}
		})
	}
}

func writeAs(t testing.TB, w io.Writer, format string, store content.Store, img Image) {
	t.Helper()
	var err error
	switch format {
	case "oci":
		err = OCI(t.Context(), store, w, img)
	case "docker":
		err = Docker(t.Context(), store, w, []Image{img})
	case "oci.gz":
		zw := gzip.NewWriter(w)
		defer func() {
			if err := zw.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		err = OCI(t.Context(), store, zw, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The descriptor may come from an archive's index, and say of a blob what it likes.
func TestManifestOfAnySizeIsNotReadIntoMemory(t *testing.T) {
	store, _ := newStore(t)
	text := []byte(`{"schemaVersion":2,"annotations":{"x":"` + strings.Repeat("x", maxManifest) + `"}}`)
	manifest := put(t, store, ocispec.MediaTypeImageManifest, text)
	manifest.Size = 2
	if _, err := parts(t.Context(), store, manifest); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want that it is too large", err)
	}
}

func TestContainerdImportsTheArchive(t *testing.T) {
	from, _ := newStore(t)
	want := putImage(t, from, "amd64", "zstd")
	var b bytes.Buffer
	if err := Docker(t.Context(), from, &b, []Image{{Manifest: want, Names: []string{"docker.io/library/x:1"}}}); err != nil {
		t.Fatal(err)
	}
	store, _ := newStore(t)
	desc, err := archive.ImportIndex(t.Context(), store, &b)
	if err != nil {
		t.Fatal(err)
	}
	data, err := content.ReadBlob(t.Context(), store, desc)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != want.Digest {
		t.Errorf("got %v, want %s", index.Manifests, want.Digest)
	}
}

func TestOldDockerArchiveIsLoaded(t *testing.T) {
	needProgram(t, "skopeo")
	from, _ := newStore(t)
	dir := filepath.Join(t.TempDir(), "layout")
	if err := OCIDir(t.Context(), from, dir, Image{Manifest: putImage(t, from, "amd64", "gzip", "none"), Names: []string{"x:v1"}}); err != nil {
		t.Fatal(err)
	}
	// skopeo writes the format of docker before version 25.
	name := filepath.Join(t.TempDir(), "old.tar")
	run(t, "skopeo", "--insecure-policy", "copy", "oci:"+dir+":v1", "docker-archive:"+name+":x:v1")
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	store, _ := newStore(t)
	got, err := LoadArchive(t.Context(), store, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !cmp.Equal(got[0].Names, []string{"docker.io/library/x:v1"}) {
		t.Fatalf("got %+v", got)
	}
	m, err := firstManifest(t.Context(), store, got[0].Manifest)
	if err != nil || len(m.Layers) != 2 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestLoadKeepsAnIndex(t *testing.T) {
	from, fromDir := newStore(t)
	here, absent := putImage(t, from, "amd64", "gzip"), putImage(t, from, "arm64", "gzip")
	index := putIndex(t, from, here, absent)
	if err := os.Remove(filepath.Join(fromDir, blobPath(absent))); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := OCI(t.Context(), from, &b, Image{Manifest: index, Names: []string{"x:1"}}); err != nil {
		t.Fatal(err)
	}
	store, _ := newStore(t)
	got, err := LoadArchive(t.Context(), store, &b)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Manifest.Digest != index.Digest {
		t.Errorf("got %+v, want %s", got, index.Digest)
	}
	info, err := store.Info(t.Context(), index.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(values(info.Labels), " "), here.Digest.String()) {
		t.Errorf("labels of the index do not hold its manifest: %v", info.Labels)
	}
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

func TestBadArchivesAreRefused(t *testing.T) {
	from, dir := newStore(t)
	manifest := putImage(t, from, "amd64", "gzip")
	var good bytes.Buffer
	if err := OCI(t.Context(), from, &good, Image{Manifest: manifest}); err != nil {
		t.Fatal(err)
	}
	layer := firstLayer(t, from, manifest)
	data, err := os.ReadFile(filepath.Join(dir, blobPath(layer)))
	if err != nil {
		t.Fatal(err)
	}
	large := `{"architecture":"amd64","os":"linux","x":"` + strings.Repeat("x", maxConfig) + `"}`
	swapped := bytes.Replace(good.Bytes(), data[10:], bytes.Repeat([]byte{1}, len(data)-10), 1)
	for _, test := range []struct {
		name, archive, want string
	}{
		{"empty", "", "neither a docker archive"},
		{"no tar", strings.Repeat("x", 2000), "invalid tar header"},
		{"other tar", string(layerTar(t, "f", "x")), "neither a docker archive"},
		{"cut off", good.String()[:good.Len()/2], "cut off"},
		{"wrong bytes", string(swapped), layer.Digest.String()},
		{"large index", archiveOf(t, ocispec.ImageLayoutFile, `{"imageLayoutVersion":"1.0.0"}`, ocispec.ImageIndexFile, large), "are more than the"},
		{"large config", archiveOf(t, "config.json", large, "manifest.json", `[{"Config":"config.json"}]`), "resolve platform"},
	} {
		t.Run(test.name, func(t *testing.T) {
			store, _ := newStore(t)
			_, err := LoadArchive(t.Context(), store, strings.NewReader(test.archive))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// archiveOf is a tar of files, each by its name and content.
func archiveOf(t testing.TB, files ...string) string {
	t.Helper()
	var b strings.Builder
	w := tar.NewWriter(&b)
	for ; len(files) > 0; files = files[2:] {
		must(t, w.WriteHeader(&tar.Header{Name: files[0], Mode: 0o644, Size: int64(len(files[1]))}))
		_, err := io.WriteString(w, files[1])
		must(t, err)
	}
	must(t, w.Close())
	return b.String()
}

func newLayout(t testing.TB) (store content.Store, dir string) {
	t.Helper()
	store, _ = newStore(t)
	return store, filepath.Join(t.TempDir(), "layout")
}

func addTo(t testing.TB, store content.Store, dir string, manifest ocispec.Descriptor, names ...string) {
	t.Helper()
	if err := OCIDir(t.Context(), store, dir, Image{Manifest: manifest, Names: names}); err != nil {
		t.Fatal(err)
	}
}

func TestLoadLayoutFindsWhatIsSelected(t *testing.T) {
	from, dir := newLayout(t)
	one, two := putImage(t, from, "amd64", "gzip"), putImage(t, from, "arm64", "zstd")
	addTo(t, from, dir, one, "r.example/x:one")
	single := filepath.Join(t.TempDir(), "single")
	addTo(t, from, single, one, "x:a", "x:b")
	addTo(t, from, dir, two, "r.example/x:two")
	for _, test := range []struct {
		name, dir, selector string
		want                digest.Digest
		err                 string
	}{
		{name: "tag", dir: dir, selector: "two", want: two.Digest},
		{name: "full name", dir: dir, selector: "r.example/x:one", want: one.Digest},
		{name: "digest", dir: dir, selector: "@" + one.Digest.String(), want: one.Digest},
		{name: "only image", dir: single, want: one.Digest},
		{name: "several", dir: dir, err: "one, two"},
		{name: "unknown tag", dir: dir, selector: "three", err: `it has no "three", only one, two`},
		{name: "unknown digest", dir: dir, selector: "@" + digest.FromString("x").String(), err: `it has no "sha256:`},
		{name: "no layout", dir: t.TempDir(), err: "not an OCI layout"},
		{name: "no directory", dir: dir + "x", err: "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			store, _ := newStore(t)
			got, err := LoadLayout(t.Context(), store, test.dir, test.selector)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || got.Digest != test.want {
				t.Fatalf("got %s, %v; want %s", got.Digest, err, test.want)
			}
			if err := OCI(t.Context(), store, io.Discard, Image{Manifest: got}); err != nil {
				t.Errorf("the store is incomplete: %v", err)
			}
		})
	}
}

func TestLoadLayoutRefusesBadBlobs(t *testing.T) {
	for _, test := range []struct {
		name string
		harm func(t *testing.T, file string)
		want string
	}{
		{"missing", func(t *testing.T, file string) { must(t, os.Remove(file)) }, "is missing"},
		{"cut off", func(t *testing.T, file string) { must(t, os.Truncate(file, 20)) }, "has 20 bytes, not"},
		{"wrong bytes", flip, "is damaged"},
		{"link outside", func(t *testing.T, file string) {
			must(t, os.Rename(file, filepath.Join(t.TempDir(), "blob")))
			must(t, os.Symlink("/etc/passwd", file))
		}, "escapes"},
		{"directory", func(t *testing.T, file string) { must(t, os.Remove(file)); must(t, os.Mkdir(file, 0o755)) }, "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, dir := newLayout(t)
			manifest := putImage(t, from, "amd64", "gzip")
			addTo(t, from, dir, manifest)
			layer := firstLayer(t, from, manifest)
			test.harm(t, filepath.Join(dir, blobPath(layer)))
			store, _ := newStore(t)
			for range 2 { // the second try must not go on from the first one's bytes
				_, err := LoadLayout(t.Context(), store, dir, "")
				if err == nil || !strings.Contains(err.Error(), layer.Digest.String()) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	must(t, err)
	must(t, os.WriteFile(file, bytes.Repeat([]byte{1}, int(info.Size())), 0o644))
}

func TestArchiveNamesCannotLeaveTheStore(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "../../../evil", Mode: 0o644, Size: 4}))
	_, err := io.WriteString(w, "evil")
	must(t, err)
	must(t, w.Close())
	store, dir := newStore(t)
	if _, err := LoadArchive(t.Context(), store, &b); err == nil {
		t.Error("an archive without an image was loaded")
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "..", "*", "evil")); len(found) > 0 {
		t.Errorf("written: %v", found)
	}
}

// Reading an archive must not depend on which programs are installed, nor hand it to one.
func TestLoadRunsNoProgram(t *testing.T) {
	from, _ := newStore(t)
	var plain bytes.Buffer
	if err := OCI(t.Context(), from, &plain, Image{Manifest: putImage(t, from, "amd64")}); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "unpigz"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	data, _ := squeeze(t, "gzip", plain.Bytes())
	store, _ := newStore(t)
	if _, err := LoadArchive(t.Context(), store, bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
}
