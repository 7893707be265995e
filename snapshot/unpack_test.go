package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestUnpackReadsEveryLayerType(t *testing.T) {
	for _, mediaType := range []string{
		ocispec.MediaTypeImageLayer,
		ocispec.MediaTypeImageLayerGzip,
		ocispec.MediaTypeImageLayerZstd,
		images.MediaTypeDockerSchema2Layer,
		images.MediaTypeDockerSchema2LayerGzip,
		images.MediaTypeDockerSchema2LayerZstd,
	} {
		t.Run(mediaType, func(t *testing.T) {
			s := openStore(t, Options{})
			_, ctx := newLease(t, s)
			r := newRegistry()
			target := r.putImage(t,
				layer{mediaType, entries(t, "etc/", "etc/a", "etc/b"), ""},
				layer{mediaType, entries(t, "etc/.wh.a", "etc/c"), ""})
			name, err := s.Unpack(ctx, target, r, UnpackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Join([]string{
				"drwxr-xr-x 0:0 .",
				"drwxr-xr-x 0:0 etc",
				"-rw-r--r-- 0:0 etc/b = etc/b",
				"-rw-r--r-- 0:0 etc/c = etc/c",
			}, "\n")
			if diff := cmp.Diff(want, view(t, ctx, s, name)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// bomb is a layer whose tar is followed by so many zeros that reading them takes minutes.
func bomb(t testing.TB) layer {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	data := z.EncodeAll(entries(t, "f"), nil)
	zeros := z.EncodeAll(make([]byte, 64<<20), nil)
	return layer{mediaType: ocispec.MediaTypeImageLayer, tar: append(data, bytes.Repeat(zeros, 4<<10)...)}
}

func TestUnpackStopsBehindTheEndOfATar(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, bomb(t))
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(time.Second, cancel)
	start := time.Now()
	if _, err := s.Unpack(ctx, target, r, UnpackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it went on for %s", took)
	}
}

// Layers are unpacked side by side, so what one layer only implies has to be taken from those below it.
func TestUnpackKeepsWhatALayerDoesNotMention(t *testing.T) {
	s := openStore(t, Options{Jobs: 4})
	_, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t,
		layer{tar: archiveOf(t, dirHeader("./", 0o711, 7), dirHeader("tmp/", 0o1777, 0), dirHeader("home/", 0o750, 1000), dirHeader("home/u/", 0o700, 1000))},
		layer{tar: archiveOf(t, fileHeader("tmp/x"), fileHeader("home/u/f"), fileHeader("new/f"))},
		layer{tar: archiveOf(t, dirHeader("home/", 0o755, 0), fileHeader("home/u/g"))},
	)
	name, err := s.Unpack(ctx, target, r, UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"drwx--x--x 7:0 .",
		"drwxr-xr-x 0:0 home",
		"drwx------ 1000:0 home/u",
		"-rw-r--r-- 0:0 home/u/f = home/u/f",
		"-rw-r--r-- 0:0 home/u/g = home/u/g",
		"drwxr-xr-x 0:0 new",
		"-rw-r--r-- 0:0 new/f = new/f",
		"dtrwxrwxrwx 0:0 tmp",
		"-rw-r--r-- 0:0 tmp/x = tmp/x",
	}, "\n")
	if diff := cmp.Diff(want, view(t, ctx, s, name)); diff != "" {
		t.Error(diff)
	}
}

func TestUnpackHidesWhatMarkersSay(t *testing.T) {
	below := []string{"d/", "d/old", "e/", "e/old", "f", "g/", "g/old"}
	for name, test := range map[string]struct {
		names []string
		want  string
	}{
		"whiteout":                {[]string{".wh.f"}, "d d/old e e/old g g/old"},
		"whiteout of directory":   {[]string{".wh.d"}, "e e/old f g g/old"},
		"opaque before content":   {[]string{"d/", "d/.wh..wh..opq", "d/new"}, "d d/new e e/old f g g/old"},
		"opaque after content":    {[]string{"d/", "d/new", "d/.wh..wh..opq"}, "d d/new e e/old f g g/old"},
		"opaque without its name": {[]string{"d/.wh..wh..opq"}, "d e e/old f g g/old"},
		"hidden and made again":   {[]string{".wh.d", "d/", "d/new"}, "d d/new e e/old f g g/old"},
		"made again and hidden":   {[]string{"d/", "d/new", ".wh.d"}, "d d/new e e/old f g g/old"},
		"file made and hidden":    {[]string{"f", ".wh.f"}, "d d/old e e/old f g g/old"},
		"directory becomes file":  {[]string{"d"}, "d e e/old f g g/old"},
		"file becomes directory":  {[]string{"f/", "f/new"}, "d d/old e e/old f f/new g g/old"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			_, ctx := newLease(t, s)
			r := newRegistry()
			snapshot, err := s.Unpack(ctx, r.putImage(t, layer{tar: entries(t, below...)}, layer{tar: entries(t, test.names...)}), r, UnpackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, namesIn(t, ctx, s, snapshot)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// namesIn lists the names in a snapshot in one line.
func namesIn(t testing.TB, ctx context.Context, s *Store, snapshot string) string {
	t.Helper()
	var names []string
	for line := range strings.Lines(view(t, ctx, s, snapshot)) {
		names = append(names, strings.Fields(line)[2])
	}
	return strings.Join(names[1:], " ")
}

func TestUnpackAgainFetchesNothing(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 3)...)
	first, err := s.Unpack(ctx, target, r, UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fetched := r.fetches.Load()
	second, err := s.Unpack(ctx, target, nil, UnpackOptions{})
	if err != nil || first != second {
		t.Fatalf("%s, then %s: %v", first, second, err)
	}
	if _, err := s.Unpack(ctx, target, r, UnpackOptions{}); err != nil || r.fetches.Load() != fetched {
		t.Errorf("%d fetches, then %d: %v", fetched, r.fetches.Load(), err)
	}
}

func TestUnpackFetchesAgainWhatChanged(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 2)...)
	if _, err := s.Unpack(ctx, target, r, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	for d := range r.blobs {
		if err := os.WriteFile(s.blobPath(d), []byte("changed"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Unpack(ctx, target, r, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	for d, data := range r.blobs {
		if got, err := os.ReadFile(s.blobPath(d)); err != nil || string(got) != string(data) {
			t.Errorf("blob %s is not restored: %v", d, err)
		}
	}
}

// Which image of an index is meant is for the caller to say.
func TestUnpackTakesNoIndex(t *testing.T) {
	s := openStore(t, Options{})
	_, ctx := newLease(t, s)
	r := newRegistry()
	index := ocispec.Index{Manifests: []ocispec.Descriptor{r.putImage(t, layer{tar: entries(t, "a")})}}
	if _, err := s.Unpack(ctx, r.putJSON(t, ocispec.MediaTypeImageIndex, index), r, UnpackOptions{}); !errdefs.IsNotImplemented(err) {
		t.Errorf("got %v, want that it is no manifest", err)
	}
}

func TestUnpackOfManyAtOnce(t *testing.T) {
	s := openStore(t, Options{Jobs: 3})
	_, ctx := newLease(t, s)
	r := newRegistry()
	layers := manyLayers(t, 12)
	targets := []ocispec.Descriptor{r.putImage(t, layers...), r.putImage(t, layers[:6]...), r.putImage(t, layers...)}
	var wg sync.WaitGroup
	for _, target := range targets {
		wg.Go(func() {
			if _, err := s.Unpack(ctx, target, r, UnpackOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// An image keeps its layers and its snapshot after the lease.
func TestImageNameKeepsWhatWasUnpacked(t *testing.T) {
	s := openStore(t, Options{})
	l, ctx := newLease(t, s)
	r := newRegistry()
	target := r.putImage(t, manyLayers(t, 3)...)
	name, err := s.Unpack(ctx, target, r, UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Images().Create(ctx, images.Image{Name: "image", Target: target}); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Exists(t.Context(), name); err != nil || !ok {
		t.Errorf("snapshot: %v, %v", ok, err)
	}
	for d := range r.blobs {
		if _, err := s.Content().Info(t.Context(), d); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Prune(t.Context(), PruneOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, s.Root()); len(left) > 0 {
		t.Error(left)
	}
}

// A layer whose blob is there is unpacked while those below it are still fetched, also where one is unpacked at a time.
func TestUnpackDoesNotWaitForLayersThatAreFetched(t *testing.T) {
	s := openStore(t, Options{Jobs: 1})
	_, ctx := newLease(t, s)
	r := newRegistry()
	layers := manyLayers(t, 3)
	target := r.putImage(t, layers...)
	_, first := layers[0].encode(t)
	above := func() bool {
		found, err := filepath.Glob(filepath.Join(s.Root(), "leases/*/trees/*/fs/dir/f02"))
		return err == nil && len(found) == 1
	}
	slow := remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		for deadline := time.Now().Add(20 * time.Second); desc.Digest == digest.FromBytes(first) && !above(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return nil, errors.New("the layer above is not unpacked")
			}
		}
		return r.Fetch(ctx, desc)
	})
	if _, err := s.Unpack(ctx, target, slow, UnpackOptions{}); err != nil {
		t.Error(err)
	}
}
