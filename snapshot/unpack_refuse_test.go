package snapshot

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A layer whose snapshot is there is not unpacked, and yet its blob has to be what the config says.
func TestUnpackRefusesAnotherBlobForAKnownLayer(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	known := entries(t, "etc/", "etc/good")
	snapshot, err := s.Unpack(ctx, r.putImage(t, layer{tar: known}), r, UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	liar := r.putImage(t, layer{tar: entries(t, "etc/", "etc/evil"), diffID: digest.FromBytes(known)})
	for range 2 { // also when the blob is in the store
		if got, err := s.Unpack(ctx, liar, r, UnpackOptions{}); err == nil || !strings.Contains(err.Error(), "its tar has the diff-id") {
			t.Errorf("unpacked %q, %v", got, err)
		}
	}
	honest := r.putImage(t, layer{tar: known, mediaType: ocispec.MediaTypeImageLayerZstd})
	if got, err := s.Unpack(ctx, honest, r, UnpackOptions{}); got != snapshot || err != nil {
		t.Errorf("in another compression: unpacked %q, %v, want %q", got, err, snapshot)
	}
}

// A descriptor may say of a blob that is there what it likes.
func TestUnpackReadsNoLargeConfigIntoMemory(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	put := func(mediaType string, data []byte) ocispec.Descriptor {
		d, err := s.WriteBlob(ctx, mediaType, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	config := put(ocispec.MediaTypeImageConfig, []byte(`{"x":"`+strings.Repeat("x", maxJSON)+`"}`))
	config.Size = 2
	manifest, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Unpack(ctx, put(ocispec.MediaTypeImageManifest, manifest), nil, UnpackOptions{})
	if err == nil || !strings.Contains(err.Error(), "are more than the") {
		t.Errorf("got %v, want that it is too large", err)
	}
}

func TestUnpackRefusesBadImages(t *testing.T) {
	good := func(t *testing.T) layer { return layer{tar: entries(t, "a")} }
	for name, test := range map[string]struct {
		image func(t *testing.T, r *registry) ocispec.Descriptor
		want  string
	}{
		"wrong diff-id": {func(t *testing.T, r *registry) ocispec.Descriptor {
			return r.putImage(t, good(t), layer{tar: entries(t, "b"), diffID: digest.FromString("other")})
		}, "its tar has the diff-id"},
		"two diff-ids of one blob": {func(t *testing.T, r *registry) ocispec.Descriptor {
			return r.putImage(t, layer{tar: entries(t, "b"), diffID: digest.FromString("other")}, layer{tar: entries(t, "b")})
		}, "wrong diff id"},
		"wrong digest": {func(t *testing.T, r *registry) ocispec.Descriptor {
			target := r.putImage(t, good(t))
			for d, data := range r.blobs {
				if data[0] == 0x1f { // the layer
					data = append([]byte{}, data...)
					data[len(data)-1]++
					r.blobs[d] = data
				}
			}
			return target
		}, "are not those of this digest"},
		"truncated layer": {func(t *testing.T, r *registry) ocispec.Descriptor {
			target := r.putImage(t, good(t))
			for d, data := range r.blobs {
				if data[0] == 0x1f {
					r.blobs[d] = data[:len(data)/2]
				}
			}
			return target
		}, "unexpected"},
		"truncated gzip": {func(t *testing.T, r *registry) ocispec.Descriptor {
			_, data := good(t).encode(t)
			return r.putImage(t, layer{mediaType: ocispec.MediaTypeImageLayer, tar: data[:len(data)/2]})
		}, "unexpected EOF"},
		"unknown layer type": {func(t *testing.T, r *registry) ocispec.Descriptor {
			return r.putImage(t, layer{mediaType: "application/x-what", tar: entries(t, "a")})
		}, `layer 1 has unknown media type "application/x-what"`},
		"unknown manifest type": {func(t *testing.T, r *registry) ocispec.Descriptor {
			target := r.putImage(t, good(t))
			target.MediaType = "application/x-what"
			return target
		}, `unknown media type "application/x-what"`},
		"unknown config type": {func(t *testing.T, r *registry) ocispec.Descriptor {
			config := r.putJSON(t, "application/x-what", ocispec.Image{})
			return r.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config})
		}, `config has unknown media type "application/x-what"`},
		"missing diff-id": {func(t *testing.T, r *registry) ocispec.Descriptor {
			config := r.putJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{})
			mediaType, data := good(t).encode(t)
			return r.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
				Config: config, Layers: []ocispec.Descriptor{r.put(mediaType, data)},
			})
		}, "0 diff-ids for 1 layers"},
		"missing layer": {func(t *testing.T, r *registry) ocispec.Descriptor {
			target := r.putImage(t, good(t))
			for d, data := range r.blobs {
				if data[0] == 0x1f {
					delete(r.blobs, d)
				}
			}
			return target
		}, "not found"},
		"huge manifest": {func(_ *testing.T, r *registry) ocispec.Descriptor {
			target := r.put(ocispec.MediaTypeImageManifest, []byte("{}"))
			target.Size = 1 << 40
			return target
		}, "bytes are more than"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			l, ctx := newLease(t, s)
			r := newRegistry()
			name, err := s.Unpack(ctx, test.image(t, r), r, UnpackOptions{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("unpacked %q: got error %v, want %q", name, err, test.want)
			}
			if err := l.Release(); err != nil {
				t.Fatal(err)
			}
			if err := s.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := leftovers(t, s.Root()); len(left) > 0 {
				t.Error(left)
			}
		})
	}
}
