package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

func newPusher(t *testing.T, c *Client, store content.Store, ref reference.Named) *Pusher {
	t.Helper()
	p, err := c.NewPusher(t.Context(), store, ref, nil)
	must(t, err)
	return p
}

func TestBlobsComeBeforeThereIsAnImage(t *testing.T) {
	p := startProxy(t, startRegistry(t, false), nil)
	c, ref := newClient(t), parse(t, p.host+"/x:1")
	store, _ := newStore(t)
	image := putImage(t, store, "amd64", "one", "two")
	layers := readManifest(t, store, image).Layers
	to := newPusher(t, c, store, ref)
	if p.count("", "") != 0 {
		t.Error("the registry was asked before there was anything to push")
	}
	var group sync.WaitGroup
	for range 3 { // the same blob for several of those who need it
		group.Go(func() { must(t, to.Blob(t.Context(), layers[0])) })
	}
	group.Wait()
	if n := p.count("PUT", "/blobs/"); n != 1 {
		t.Errorf("%d uploads of one blob", n)
	}
	if _, err := c.Resolve(t.Context(), ref); !errdefs.IsNotFound(err) {
		t.Errorf("the image has its name already: %v", err)
	}
	must(t, to.Image(t.Context(), image))
	if n := p.count("PUT", "/blobs/"); n != 3 {
		t.Errorf("%d uploads, want the layers and the config once each", n)
	}
	if got, err := c.Resolve(t.Context(), ref); err != nil || got.Digest != image.Digest {
		t.Errorf("the name stands for %s, %v", got.Digest, err)
	}
}

// TestPushersShareOneLimit has two pushers with more blobs than may be on their way.
func TestPushersShareOneLimit(t *testing.T) {
	var now, most atomic.Int64
	p := startProxy(t, startRegistry(t, false), func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") {
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			now.Add(-1)
		}
		return false
	})
	c := newClient(t)
	store, _ := newStore(t)
	layers := readManifest(t, store, putImage(t, store, "amd64", "a", "b", "c", "d", "e", "f", "g", "h")).Layers
	one, two := newPusher(t, c, store, parse(t, p.host+"/one:1")), newPusher(t, c, store, parse(t, p.host+"/two:1"))
	var group sync.WaitGroup
	for _, l := range layers {
		group.Go(func() { must(t, one.Blob(t.Context(), l)) })
		group.Go(func() { must(t, two.Blob(t.Context(), l)) })
	}
	group.Wait()
	if got := most.Load(); got > uploads || got < 2 {
		t.Errorf("%d blobs were on their way at once, want up to %d", got, uploads)
	}
}

func TestACanceledBlobSaysWhy(t *testing.T) {
	p := startProxy(t, startRegistry(t, false), times(forever, "PUT", "/blobs/", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	store, _ := newStore(t)
	layers := readManifest(t, store, putImage(t, store, "amd64", "a", "b", "c", "d", "e", "f")).Layers
	cause := errors.New("a step failed")
	ctx, cancel := context.WithCancelCause(t.Context())
	to := newPusher(t, newClient(t), store, parse(t, p.host+"/x:1"))
	failed := make(chan error)
	for _, l := range layers { // more than may be on their way: some wait for their turn
		go func() { failed <- to.Blob(ctx, l) }()
	}
	for p.count("PUT", "/blobs/") < uploads {
		time.Sleep(time.Millisecond)
	}
	cancel(cause)
	for range layers {
		if err := <-failed; !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	}
	if n := p.count("PUT", "/blobs/"); n != uploads {
		t.Errorf("%d uploads began, want %d", n, uploads)
	}
}
