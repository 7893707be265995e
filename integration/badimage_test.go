package integration

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// madeImage is an image that a test makes by hand, so that it can be wrong. Functions that are nil change nothing.
type madeImage struct {
	layers   []madeLayer
	config   func(*ocispec.Image)
	manifest func(*ocispec.Manifest)
	raw      string // instead of the manifest's JSON
	index    func(*ocispec.Index)
	nested   bool                                       // index is not that of the layout but one that it refers to
	blobs    func(dir string, m ocispec.Manifest) error // after all is written
}

// madeLayer is a blob, and what the image says about it where that is not the truth.
type madeLayer struct {
	data      []byte
	mediaType string        // default: a plain tar
	diffID    digest.Digest // default: that of data
}

// makeLayout writes the image as an OCI layout.
func (l *lab) makeLayout(dir string, img madeImage) {
	l.Helper()
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	config.RootFS.Type = "layers"
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, layer := range img.layers {
		if layer.mediaType == "" {
			layer.mediaType = ocispec.MediaTypeImageLayer
		}
		if layer.diffID == "" {
			layer.diffID = digest.FromBytes(layer.data)
		}
		manifest.Layers = append(manifest.Layers, l.putBlob(dir, layer.mediaType, layer.data))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.diffID)
	}
	edit(img.config, &config)
	manifest.Config = l.putBlob(dir, ocispec.MediaTypeImageConfig, l.json(config))
	edit(img.manifest, &manifest)
	data := l.json(manifest)
	if img.raw != "" {
		data = []byte(img.raw)
	}
	desc := l.putBlob(dir, manifest.MediaType, data)
	desc.Platform = &config.Platform
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{desc}}
	edit(img.index, &index)
	if img.nested {
		index.Manifests = []ocispec.Descriptor{l.putBlob(dir, ocispec.MediaTypeImageIndex, l.json(index))}
	}
	l.putFile(filepath.Join(dir, ocispec.ImageIndexFile), l.json(index))
	l.putFile(filepath.Join(dir, ocispec.ImageLayoutFile), l.json(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}))
	if img.blobs == nil {
		return
	}
	if err := img.blobs(dir, manifest); err != nil {
		l.Fatal(err)
	}
}

func edit[T any](fn func(*T), value *T) {
	if fn != nil {
		fn(value)
	}
}

func (l *lab) putBlob(dir, mediaType string, data []byte) ocispec.Descriptor {
	l.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	l.putFile(blobFile(dir, desc.Digest), data)
	return desc
}

func (l *lab) putFile(name string, data []byte) {
	l.Helper()
	if err := writeFile(name, data, 0o644); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) json(value any) []byte {
	l.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		l.Fatal(err)
	}
	return data
}

// blobFile is where a layout keeps a blob.
func blobFile(dir string, d digest.Digest) string {
	return filepath.Join(dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// tarOf is an archive of the entries; the content of a file is its name.
func tarOf(entries ...tar.Header) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, hdr := range entries {
		data := ""
		if hdr.Typeflag == tar.TypeReg {
			data = hdr.Name
		}
		hdr.Size, hdr.Mode = int64(len(data)), 0o755
		if err := w.WriteHeader(&hdr); err != nil {
			panic(err) // into memory, with headers that the test wrote
		}
		_, _ = w.Write([]byte(data))
	}
	_ = w.Close()
	return out.Bytes()
}

func fileEntry(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }

func linkEntry(kind byte, name, target string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Linkname: target}
}

// goodLayer has one file.
func goodLayer() madeLayer { return madeLayer{data: tarOf(fileEntry("file"))} }

// damages are images that a build must refuse.
var damages = map[string]madeImage{
	"layer cut in its tar": {layers: []madeLayer{{data: goodLayer().data[:515]}}},
	"layer cut in its gzip": {layers: []madeLayer{{
		data: append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}, 1, 2), mediaType: ocispec.MediaTypeImageLayerGzip,
	}}},
	"layer cut on disk": {layers: []madeLayer{goodLayer()}, blobs: func(dir string, m ocispec.Manifest) error {
		return os.Truncate(blobFile(dir, m.Layers[0].Digest), 100)
	}},
	"layer with other bytes": {layers: []madeLayer{goodLayer()}, blobs: func(dir string, m ocispec.Manifest) error {
		return os.WriteFile(blobFile(dir, m.Layers[0].Digest), bytes.Repeat([]byte{7}, int(m.Layers[0].Size)), 0o644)
	}},
	"layer missing": {layers: []madeLayer{goodLayer()}, blobs: func(dir string, m ocispec.Manifest) error {
		return os.Remove(blobFile(dir, m.Layers[0].Digest))
	}},
	"layer no tar":             {layers: []madeLayer{{data: bytes.Repeat([]byte("no tar "), 300)}}},
	"layer wrong diff-id":      {layers: []madeLayer{{data: goodLayer().data, diffID: digest.FromString("other")}}},
	"layer unknown media type": {layers: []madeLayer{{data: goodLayer().data, mediaType: "application/x-what"}}},
	"diff-ids too few":         {layers: []madeLayer{goodLayer()}, config: func(c *ocispec.Image) { c.RootFS.DiffIDs = nil }},
	"manifest no JSON":         {raw: "this is no JSON"},
	"config no JSON": {layers: []madeLayer{goodLayer()}, blobs: func(dir string, m ocispec.Manifest) error {
		return os.WriteFile(blobFile(dir, m.Config.Digest), bytes.Repeat([]byte{7}, int(m.Config.Size)), 0o644)
	}},
	"entry above the root":     {layers: []madeLayer{{data: tarOf(fileEntry("../evil"))}}},
	"hard link above the root": {layers: []madeLayer{{data: tarOf(linkEntry(tar.TypeLink, "evil", "../../../../../../../../etc/passwd"))}}},
	"hard link through a symlink": {layers: []madeLayer{{data: tarOf(
		linkEntry(tar.TypeSymlink, "out", "/proc/1"), linkEntry(tar.TypeLink, "evil", "out/environ"),
	)}}},
	"index no digest": {index: func(i *ocispec.Index) { i.Manifests[0].Digest = "sha256:../../../etc/passwd" }},
	"index in index other platform": {layers: []madeLayer{goodLayer()}, nested: true, index: func(i *ocispec.Index) {
		i.Manifests[0].Platform = &ocispec.Platform{OS: "plan9", Architecture: "mips"}
	}},
	"index empty": {index: func(i *ocispec.Index) { i.Manifests = nil }},
}
