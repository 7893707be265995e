package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestFetchUnpacksNothing(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 3)...)
	if err := s.Fetch(ctx, target, nil); !errdefs.IsNotFound(err) {
		t.Errorf("without a fetcher: %v", err)
	}
	if err := s.Fetch(ctx, target, r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Images().Create(ctx, images.Image{Name: "image", Target: target}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Release(), s.Collect(t.Context())); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, s.Root()); len(left) != len(r.blobs) {
		t.Errorf("left are %v, want %d blobs", left, len(r.blobs))
	}
	_, ctx = newLease(t, s)
	fetched := r.fetches.Load()
	if err := errors.Join(s.Fetch(ctx, target, r), s.Fetch(ctx, target, nil)); err != nil || r.fetches.Load() != fetched {
		t.Errorf("fetched again: %v", err)
	}
	if _, err := s.Unpack(ctx, target, nil, UnpackOptions{}); err != nil {
		t.Error(err)
	}
}

func TestTheLeaseKeepsWhatFetchFinds(t *testing.T) {
	s := openStore(t, Options{})
	first, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 3)...)
	if err := s.Fetch(ctx, target, r); err != nil {
		t.Fatal(err)
	}
	_, later := newLease(t, s)
	if err := s.Fetch(later, target, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Release(), s.Collect(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unpack(later, target, nil, UnpackOptions{}); err != nil {
		t.Errorf("what was found is gone: %v", err)
	}
}

func TestFetchFetchesAgainWhatChanged(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 2)...)
	for name, fetch := range map[string]func() error{
		"Fetch": func() error { return s.Fetch(ctx, target, r) },
		"FetchBlob": func() error {
			var err error
			for d, data := range r.blobs {
				err = errors.Join(err, s.FetchBlob(ctx, ocispec.Descriptor{Digest: d, Size: int64(len(data))}, r))
			}
			return err
		},
	} {
		if err := fetch(); err != nil {
			t.Fatal(err)
		}
		for d := range r.blobs {
			if err := os.WriteFile(s.blobPath(d), []byte("changed"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := fetch(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for d, data := range r.blobs {
			if got, err := os.ReadFile(s.blobPath(d)); err != nil || string(got) != string(data) {
				t.Errorf("%s: blob %s is not restored: %v", name, d, err)
			}
		}
	}
}

func TestFetchBlobRefusesOtherBytes(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	d := digest.FromString("right")
	r.blobs[d] = []byte("wrong")
	desc := ocispec.Descriptor{Digest: d, Size: 5}
	for range 2 {
		if err := s.FetchBlob(ctx, desc, r); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("got %v", err)
		}
	}
	r.blobs[d] = []byte("right")
	if err := s.FetchBlob(ctx, desc, r); err != nil {
		t.Error(err)
	}
	if err := s.FetchBlob(ctx, desc, nil); err != nil {
		t.Error(err)
	}
}

func TestUnpackReportsProgress(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 3)...)
	got := map[string]int{}
	progress := func(layer digest.Digest, current, total int64, done bool) {
		if size := int64(len(r.blobs[layer])); total != size || current > size || done && current != size {
			t.Errorf("layer %s: %d of %d, has %d", layer, current, total, size)
		}
		got[fmt.Sprint(done)]++
	}
	for range 2 {
		if _, err := s.Unpack(ctx, target, r, UnpackOptions{Progress: progress}); err != nil {
			t.Fatal(err)
		}
	}
	if got["true"] != 3 {
		t.Errorf("reports %v, want three ends", got)
	}
}

// breaking is a registry whose first answer for a blob ends in the middle.
type breaking struct {
	*registry
	asked  map[digest.Digest]bool
	offset int64 // where the last blob was read on
}

func (b *breaking) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	data := b.blobs[desc.Digest]
	if b.asked[desc.Digest] {
		return &seeking{bytes.NewReader(data), &b.offset}, nil
	}
	b.asked[desc.Digest] = true
	broken := iotest.ErrReader(errors.New("the line is cut"))
	return io.NopCloser(io.MultiReader(bytes.NewReader(data[:len(data)/2]), broken)), nil
}

type seeking struct {
	*bytes.Reader
	offset *int64
}

func (s *seeking) Seek(offset int64, whence int) (int64, error) {
	*s.offset = offset
	return s.Reader.Seek(offset, whence)
}

func (s *seeking) Close() error { return nil }

func TestFetchGoesOnWhereItWas(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	b := &breaking{registry: newRegistry(), asked: map[digest.Digest]bool{}}
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	desc := b.put("application/octet-stream", data)
	if err := s.FetchBlob(ctx, desc, b); err == nil {
		t.Fatal("no error of a line that is cut")
	}
	if err := s.FetchBlob(ctx, desc, b); err != nil {
		t.Fatal(err)
	}
	if b.offset != int64(len(data)/2) {
		t.Errorf("went on at %d of %d", b.offset, len(data))
	}
}
