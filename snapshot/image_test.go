package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// registry holds blobs and counts how often they are fetched.
type registry struct {
	blobs   map[digest.Digest][]byte
	fetches atomic.Int64
}

func newRegistry() *registry { return &registry{blobs: map[digest.Digest][]byte{}} }

func (r *registry) Fetch(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	r.fetches.Add(1)
	data, ok := r.blobs[desc.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (r *registry) put(mediaType string, data []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	r.blobs[desc.Digest] = data
	return desc
}

func (r *registry) putJSON(t testing.TB, mediaType string, v any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return r.put(mediaType, data)
}

// layer is one layer of a test image.
type layer struct {
	mediaType string // "" is OCI, gzip
	tar       []byte
	diffID    digest.Digest // "" is the right one
}

func (l layer) encode(t testing.TB) (mediaType string, data []byte) {
	t.Helper()
	switch l.mediaType {
	case "", ocispec.MediaTypeImageLayerGzip, images.MediaTypeDockerSchema2LayerGzip:
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(l.tar); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return or(l.mediaType, ocispec.MediaTypeImageLayerGzip), b.Bytes()
	case ocispec.MediaTypeImageLayerZstd, images.MediaTypeDockerSchema2LayerZstd:
		z, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		return l.mediaType, z.EncodeAll(l.tar, nil)
	}
	return l.mediaType, l.tar
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// putImage stores an image in the registry and returns its manifest.
func (r *registry) putImage(t testing.TB, layers ...layer) ocispec.Descriptor {
	t.Helper()
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers"}}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, l := range layers {
		mediaType, data := l.encode(t)
		manifest.Layers = append(manifest.Layers, r.put(mediaType, data))
		diffID := digest.Digest(or(string(l.diffID), string(digest.FromBytes(l.tar))))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	manifest.Config = r.putJSON(t, ocispec.MediaTypeImageConfig, config)
	return r.putJSON(t, ocispec.MediaTypeImageManifest, manifest)
}

// entries are a tar; a name that ends in a slash is a directory, other files hold their own name.
func entries(t testing.TB, names ...string) []byte {
	t.Helper()
	headers := make([]tar.Header, 0, len(names))
	for _, name := range names {
		hdr := tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(name))}
		if name[len(name)-1] == '/' {
			hdr = tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeDir}
		}
		headers = append(headers, hdr)
	}
	return archiveOf(t, headers...)
}

func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, hdr := range headers {
		if err := w.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
		if hdr.Typeflag != tar.TypeReg {
			continue
		}
		if _, err := io.WriteString(w, hdr.Name[:hdr.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dirHeader(name string, mode int64, uid int) tar.Header {
	return tar.Header{Name: name, Mode: mode, Uid: uid, Typeflag: tar.TypeDir}
}

func fileHeader(name string) tar.Header {
	return tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(name))}
}

func linkHeader(kind byte, name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Mode: 0o777, Typeflag: kind}
}

func manyLayers(t testing.TB, n int) []layer {
	t.Helper()
	var all []layer
	for i := range n {
		all = append(all, layer{tar: entries(t, fmt.Sprintf("dir/f%02d", i))})
	}
	return all
}
