package integration

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// foreign is an image by go-containerregistry whose only file is named text.
func (l *lab) foreign(text, architecture string, manifest types.MediaType, layer v1.Layer) v1.Image {
	l.Helper()
	config := types.OCIConfigJSON
	if manifest == types.DockerManifestSchema2 {
		config = types.DockerConfigJSON
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, manifest), config)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: architecture, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Labels: map[string]string{"foreign": text}},
	})
	if err == nil {
		img, err = mutate.AppendLayers(img, layer)
	}
	if err != nil {
		l.Fatal(err)
	}
	return img
}

func (l *lab) foreignLayer(text string, opts ...tarball.LayerOption) v1.Layer {
	l.Helper()
	data := tarOf(fileEntry(text))
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, opts...)
	if err != nil {
		l.Fatal(err)
	}
	return layer
}

func (l *lab) reference(text string) name.Reference {
	l.Helper()
	ref, err := name.ParseReference(text, name.Insecure)
	if err != nil {
		l.Fatal(err)
	}
	return ref
}

func TestBuildPicksThePlatformOfAnIndex(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := l.registry()
	for kind, media := range map[string][2]types.MediaType{
		"docker": {types.DockerManifestList, types.DockerManifestSchema2},
		"oci":    {types.OCIImageIndex, types.OCIManifestSchema1},
	} {
		index := mutate.IndexMediaType(empty.Index, media[0])
		for _, arch := range []string{"amd64", "arm64"} {
			index = mutate.AppendManifests(index, mutate.IndexAddendum{
				Add:        l.foreign(arch, arch, media[1], l.foreignLayer(arch)),
				Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
			})
		}
		ref := addr + "/" + kind + ":1"
		if err := remote.WriteIndex(l.reference(ref), index); err != nil {
			t.Fatal(err)
		}
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ from, platform, want string }{
			{ref, "linux/arm64", "arm64"},
			{ref, "linux/amd64", "amd64"},
			{addr + "/" + kind + "@" + digest.String(), "linux/arm64/v8", "arm64"},
			{"--platform=linux/amd64 " + ref, "linux/arm64", "amd64"},
		} {
			out := fmt.Sprintf("%s-%s-%s", kind, test.want, strings.ReplaceAll(test.platform, "/", "-"))
			l.mustBuild(l.context("-- Buildfile --\nFROM "+test.from+"\n"), "-q", "--platform", test.platform, "-o", out, "-o", "type=image")
			if got := l.readFile(out + "/" + test.want); got != test.want {
				t.Errorf("FROM %s for %s: the file holds %q", test.from, test.platform, got)
			}
		}
		r := l.build(l.context("-- Buildfile --\nFROM "+ref+"\n"), "-q", "--platform", "linux/s390x", "--pull")
		if want := "no image for the platform; there are linux/amd64, linux/arm64"; r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s index without the platform: status %d, %s", kind, r.code, r.stderr)
		}
	}
	l.checkIdle()
}

// Registries hold layers of every kind, and not always under the right name.
func TestBuildReadsEveryKindOfLayer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := l.registry()
	for kind, test := range map[string]struct {
		manifest types.MediaType
		layer    v1.Layer
	}{
		"docker":   {types.DockerManifestSchema2, l.foreignLayer("docker")},
		"oci":      {types.OCIManifestSchema1, l.foreignLayer("oci", tarball.WithMediaType(types.OCILayer))},
		"oci-zstd": {types.OCIManifestSchema1, l.foreignLayer("oci-zstd", tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd))},
		"oci-plain": {
			types.OCIManifestSchema1, static.NewLayer(tarOf(fileEntry("oci-plain")), types.OCIUncompressedLayer),
		},
		"docker-plain": {
			types.DockerManifestSchema2, static.NewLayer(tarOf(fileEntry("docker-plain")), types.DockerUncompressedLayer),
		},
		"misnamed": {types.OCIManifestSchema1, l.foreignLayer("misnamed", tarball.WithMediaType(types.OCIUncompressedLayer))},
	} {
		ref := addr + "/" + kind
		if err := remote.Write(l.reference(ref), l.foreign(kind, "amd64", test.manifest, test.layer)); err != nil {
			t.Fatal(err)
		}
		dir := l.context("-- Buildfile --\nFROM " + ref + "\nCOPY Buildfile /\n")
		l.mustBuild(dir, "-q", "--platform", "linux/amd64", "-o", kind, "-t", ref+":built", "--push")
		if got := l.readFile(kind + "/" + kind); got != kind {
			t.Errorf("%s: the file holds %q", kind, got)
		}
		// The layer of the base goes through as it is.
		built, err := remote.Image(l.reference(ref + ":built"))
		if err != nil {
			t.Fatal(err)
		}
		layers, err := built.Layers()
		if err != nil || len(layers) != 2 {
			t.Fatal(len(layers), err)
		}
		want, err := test.layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := layers[0].Digest(); got != want {
			t.Errorf("%s: the first layer is %s, want the base's %s, %v", kind, got, want, err)
		}
		if manifest, err := built.Manifest(); err != nil || manifest.MediaType != types.OCIManifestSchema1 {
			t.Errorf("%s: manifest %v, %v", kind, manifest, err)
		}
	}
	l.checkIdle()
}
