package base

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/build/internal/storetest"
	"github.com/lbuild/lbuild/snapshot"
)

// TestMain hides the credentials of whoever runs the tests, and silences containerd's content store.
func TestMain(m *testing.M) { os.Exit(setUp(m)) }

func setUp(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lbuild-docker-config")
	if err = errors.Join(err, os.Setenv("DOCKER_CONFIG", dir), log.SetLevel("fatal")); err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// registry is one on loopback with an index of two images, which are named repo:1.
type registry struct {
	name    string // of the images
	layers  map[string]ocispec.Descriptor
	target  digest.Digest
	mu      sync.Mutex
	blobs   map[string][]byte // also by tag
	types   map[string]string
	fetched []string // what was asked for so far: manifests by what names them, and blobs by what they are
	about   map[string]string
}

func startRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{layers: map[string]ocispec.Descriptor{}, blobs: map[string][]byte{}, types: map[string]string{}, about: map[string]string{}}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, arch := range []string{"amd64", "arm64"} {
		index.Manifests = append(index.Manifests, r.addImage(t, arch))
	}
	desc := r.add(t, index.MediaType, "index", index)
	r.blobs["1"], r.types["1"], r.target = r.blobs[desc.Digest.String()], index.MediaType, desc.Digest
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.name = strings.TrimPrefix(server.URL, "http://") + "/repo:1"
	return r
}

func (r *registry) add(t *testing.T, mediaType, about string, value any) ocispec.Descriptor {
	t.Helper()
	data, ok := value.([]byte)
	if !ok {
		var err error
		data, err = json.Marshal(value)
		must(t, err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	r.blobs[desc.Digest.String()], r.types[desc.Digest.String()], r.about[desc.Digest.String()] = data, mediaType, about
	return desc
}

// addImage adds an image with one layer, an empty tar.
func (r *registry) addImage(t *testing.T, arch string) ocispec.Descriptor {
	t.Helper()
	var packed bytes.Buffer
	plain := make([]byte, 1024)
	w := gzip.NewWriter(&packed)
	w.Comment = arch // two blobs of one tar
	_, err := w.Write(plain)
	must(t, errors.Join(err, w.Close()))
	layer := r.add(t, ocispec.MediaTypeImageLayerGzip, "layer "+arch, packed.Bytes())
	r.layers[arch] = layer
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain)}}
	desc := r.add(t, ocispec.MediaTypeImageManifest, "manifest "+arch, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: r.add(t, ocispec.MediaTypeImageConfig, "config "+arch, config), Layers: []ocispec.Descriptor{layer},
	})
	desc.Platform = &config.Platform
	return desc
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	data, ok := r.blobs[what]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", r.types[what])
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(data).String())
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if req.Method == http.MethodGet {
		_, _ = w.Write(data)
	}
	if about := r.about[what]; about != "" && req.Method == http.MethodGet {
		r.fetched = append(r.fetched, about)
	} else if about == "" {
		r.fetched = append(r.fetched, "tag")
	}
}

// asked gives what was asked for since it was last called, each once, sorted.
func (r *registry) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.fetched
	r.fetched = nil
	slices.Sort(list)
	return slices.Compact(list)
}

func (r *registry) checkAsked(t *testing.T, when string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.asked()); diff != "" {
		t.Errorf("%s: the registry was asked for (-want +got):\n%s", when, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build runs fn with a finder under a lease of its own, and gives the events of images as a whole.
func build(t *testing.T, store *snapshot.Store, pull bool, fn func(ctx context.Context, f *Finder)) (events []event.State) {
	t.Helper()
	client, err := remote.New(remote.Options{Version: "1"})
	must(t, err)
	lease, err := store.Lease(t.Context())
	must(t, err)
	f := &Finder{Store: store, Remote: client, Pull: pull, Events: &event.Emitter{Sink: func(e event.Event) {
		if e.Type == event.Pull && e.Digest == "" {
			events = append(events, e.State)
		}
	}}}
	fn(lease.Context(t.Context()), f)
	f.End(event.Done)
	must(t, lease.Release())
	must(t, store.Collect(t.Context()))
	return events
}

func find(ctx context.Context, t *testing.T, f *Finder, name, platform string) *Image {
	t.Helper()
	img, err := f.Find(ctx, name, platform)
	must(t, err)
	return img
}

// names are those in the image store.
func names(t *testing.T, store *snapshot.Store) (list []string) {
	t.Helper()
	all, err := store.Images().List(store.Context(t.Context()))
	must(t, err)
	for _, img := range all {
		list = append(list, img.Name)
	}
	return list
}

func has(t *testing.T, store *snapshot.Store, desc ocispec.Descriptor) bool {
	t.Helper()
	_, err := store.Content().Info(store.Context(t.Context()), desc.Digest)
	if err != nil && !errdefs.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// TestAResolvedReferenceIsRememberedAndIsNoImage goes through builds on one store, the first of which needs no layer.
func TestAResolvedReferenceIsRememberedAndIsNoImage(t *testing.T) {
	r, store := startRegistry(t), storetest.Open(t)
	events := build(t, store, false, func(ctx context.Context, f *Finder) {
		img := find(ctx, t, f, r.name, "linux/amd64")
		if other := find(ctx, t, f, r.name, "linux/amd64"); other != img {
			t.Error("it was found twice")
		}
		if img.Target.Digest != r.target || img.Config.Architecture != "amd64" || len(img.Layers) != 1 {
			t.Errorf("found %+v", img)
		}
	})
	r.checkAsked(t, "at first", "config amd64", "index", "manifest amd64", "tag")
	if want := []event.State{event.Started, event.Done}; !slices.Equal(events, want) {
		t.Errorf("events are %v, want %v", events, want)
	}
	if list := names(t, store); len(list) > 0 || has(t, store, r.layers["amd64"]) {
		t.Errorf("images are %q, the layer is there: %t; want none", list, has(t, store, r.layers["amd64"]))
	}

	events = build(t, store, false, func(ctx context.Context, f *Finder) { find(ctx, t, f, r.name, "linux/amd64") })
	r.checkAsked(t, "again")
	if len(events) > 0 {
		t.Errorf("events are %v, want none", events)
	}
	build(t, store, false, func(ctx context.Context, f *Finder) { find(ctx, t, f, r.name, "linux/arm64") })
	r.checkAsked(t, "for another platform", "config arm64", "manifest arm64", "tag")
	build(t, store, false, func(ctx context.Context, f *Finder) {
		find(ctx, t, f, r.name, "linux/amd64")
		find(ctx, t, f, r.name, "linux/arm64")
	})
	r.checkAsked(t, "for both")
	build(t, store, true, func(ctx context.Context, f *Finder) { find(ctx, t, f, r.name, "linux/amd64") })
	r.checkAsked(t, "with pull", "tag")
}

func TestFetchGivesTheImageItsName(t *testing.T) {
	full := func(r *registry) []string { return []string{r.name} }
	for name, need := range map[string]func(context.Context, *Image) error{
		"fetched":  func(ctx context.Context, img *Image) error { return img.Fetch(ctx) },
		"unpacked": func(ctx context.Context, img *Image) error { _, err := img.Unpack(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			r, store := startRegistry(t), storetest.Open(t)
			build(t, store, false, func(ctx context.Context, f *Finder) { find(ctx, t, f, r.name, "linux/amd64") })
			r.asked()
			build(t, store, false, func(ctx context.Context, f *Finder) {
				img := find(ctx, t, f, r.name, "linux/amd64")
				for range 2 {
					must(t, need(ctx, img))
				}
			})
			r.checkAsked(t, "for the layer", "layer amd64")
			if diff := cmp.Diff(full(r), names(t, store)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			target, err := store.Images().Get(store.Context(t.Context()), r.name)
			must(t, err)
			if target.Target.Digest != r.target || !has(t, store, r.layers["amd64"]) || has(t, store, r.layers["arm64"]) {
				t.Errorf("the name is of %s, want %s", target.Target.Digest, r.target)
			}
			events := build(t, store, false, func(ctx context.Context, f *Finder) { must(t, find(ctx, t, f, r.name, "linux/amd64").Fetch(ctx)) })
			r.checkAsked(t, "once it is here")
			if len(events) > 0 {
				t.Errorf("events are %v, want none", events)
			}
		})
	}
}

func TestAnImageThatCannotBeFetchedHasNoName(t *testing.T) {
	r, store := startRegistry(t), storetest.Open(t)
	delete(r.blobs, r.layers["amd64"].Digest.String())
	events := build(t, store, false, func(ctx context.Context, f *Finder) {
		if err := find(ctx, t, f, r.name, "linux/amd64").Fetch(ctx); err == nil {
			t.Error("no error")
		}
	})
	if list := names(t, store); len(list) > 0 {
		t.Errorf("names are %q, want none", list)
	}
	if want := []event.State{event.Started, event.Failed}; !slices.Equal(events, want) {
		t.Errorf("events are %v, want %v", events, want)
	}
}

// TestContentFetchesALayerOnlyWhenItIsRead asks for what is known of it before.
func TestContentFetchesALayerOnlyWhenItIsRead(t *testing.T) {
	r, store := startRegistry(t), storetest.Open(t)
	build(t, store, false, func(ctx context.Context, f *Finder) {
		find(ctx, t, f, r.name, "linux/amd64")
		r.asked()
		layer, lazy := r.layers["amd64"], f.Content()
		info, err := lazy.Info(ctx, layer.Digest)
		must(t, err)
		host, _, _ := strings.Cut(r.name, ":") // without the port, as containerd's pusher looks for it
		if source := info.Labels["containerd.io/distribution.source."+host]; info.Size != layer.Size || source != "repo" {
			t.Errorf("info is %+v", info)
		}
		if _, err := lazy.Info(ctx, digest.FromString("other")); !errdefs.IsNotFound(err) {
			t.Errorf("info of what is not known: %v", err)
		}
		r.checkAsked(t, "after Info")
		for _, asked := range [][]string{{"layer amd64"}, nil} {
			reader, err := lazy.ReaderAt(ctx, layer)
			must(t, err)
			if reader.Size() != layer.Size {
				t.Errorf("%d bytes, want %d", reader.Size(), layer.Size)
			}
			must(t, reader.Close())
			r.checkAsked(t, "after ReaderAt", asked...)
		}
	})
	if list := names(t, store); len(list) > 0 {
		t.Errorf("names are %q, want none", list)
	}
}

// TestANameOfTheStoreComesBeforeTheRegistry, unless the request pulls.
func TestANameOfTheStoreComesBeforeTheRegistry(t *testing.T) {
	r, store := startRegistry(t), storetest.Open(t)
	build(t, store, false, func(ctx context.Context, f *Finder) { must(t, find(ctx, t, f, r.name, "linux/amd64").Fetch(ctx)) })
	record, err := store.Images().Get(store.Context(t.Context()), r.name)
	must(t, err)
	must(t, image.SetName(store.Context(t.Context()), store.Images(), "docker.io/library/mine:1", record.Target))
	r.asked()
	build(t, store, false, func(ctx context.Context, f *Finder) {
		for _, name := range []string{"mine:1", "docker-image://mine:1", r.name} {
			if img := find(ctx, t, f, name, "linux/amd64"); img.Target.Digest != r.target {
				t.Errorf("%s is %s", name, img.Target.Digest)
			}
		}
	})
	r.checkAsked(t, "for what is here")
}

func TestCutSelectorKeepsColonsOfPaths(t *testing.T) {
	for _, test := range []struct{ ref, dir, selector string }{
		{"/a/b", "/a/b", ""},
		{"/a/b:1.0", "/a/b", "1.0"},
		{"/a:1/b", "/a:1/b", ""},
		{"/a:1/b:2", "/a:1/b", "2"},
		{"b@sha256:00", "b", "@sha256:00"},
		{"/a:1/b@sha256:00", "/a:1/b", "@sha256:00"},
		{"/home/me@host/b", "/home/me@host/b", ""},
		{"/home/me@host/b:1", "/home/me@host/b", "1"},
	} {
		if dir, selector := cutSelector(test.ref); dir != test.dir || selector != test.selector {
			t.Errorf("%q gives %q and %q, want %q and %q", test.ref, dir, selector, test.dir, test.selector)
		}
	}
}
