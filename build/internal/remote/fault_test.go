package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pushed starts a registry with x:1 in it, behind a proxy with a fault.
func pushed(t *testing.T, spoil fault, layers ...string) (p *proxy, manifest ocispec.Descriptor, layer []ocispec.Descriptor) {
	t.Helper()
	registry := startRegistry(t, false)
	store, _ := newStore(t)
	manifest = putImage(t, store, "amd64", layers...)
	must(t, newClient(t).Push(t.Context(), store, manifest, parse(t, registry+"/x:1"), nil))
	return startProxy(t, registry, spoil), manifest, readManifest(t, store, manifest).Layers
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		name  string
		do    http.HandlerFunc
		want  string
		tries int // of the first request
	}{
		{"401", answer(401), "needs other credentials; log in with docker login", 0},
		{"401 basic", answer(401, "WWW-Authenticate", `Basic realm="x"`), "needs other credentials; log in with docker login", 0},
		{"403", answer(403), "forbids it (said by the registry); log in as someone who may", 0},
		{"404", answer(404), "not found at", 1},
		{"429", answer(429), "answers 429 Too Many Requests after 5 tries; log in", 5},
		{"429 for an hour", answer(429, "Retry-After", "3600"), "answers 429 Too Many Requests and asks to wait 1h0m0s; try again then", 1},
		{"500", answer(500), "answers 500 Internal Server Error after 5 tries; the registry is in trouble", 5},
		{"503", answer(503), "answers 503 Service Unavailable", 5},
		{"418", answer(418), "answers 418 I'm a teapot", 1},
		{"hangs up", hangUp, "closed the connection without an answer after 5 tries", 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startProxy(t, "127.0.0.1:1", times(forever, "", "/v2/", test.do))
			store, _ := newStore(t)
			_, err := newClient(t).PullManifest(t.Context(), store, parse(t, p.host+"/x:1"), platforms.All)
			if err == nil || !strings.HasPrefix(err.Error(), "resolve "+p.host+"/x:1: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if n := p.count("HEAD", "/manifests/"); test.tries > 0 && n != test.tries {
				t.Errorf("%d tries, want %d", n, test.tries)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "failed to") {
				t.Errorf("not one plain sentence: %v", err)
			}
			if errdefs.IsNotFound(err) != (test.name == "404") {
				t.Errorf("not found: %v", err)
			}
		})
	}
}

func TestMessageIsTheRegistrysFirst(t *testing.T) {
	for body, want := range map[string]string{
		`{"errors":[{"code":"A","message":"m"},{"message":"n"}]}`: "m",
		`{"errors":[{"code":"A"}]}`:                               "A",
		`{"errors":[{"message":"a\n\tb\u0000"}]}`:                 "a b\x00",
		`{"errors":[]}`: "",
		`<html>`:        "",
		`{"errors":[{"message":"` + strings.Repeat("x", 500) + `"}]}`: strings.Repeat("x", maxMessage),
	} {
		if got := registryMessage(strings.NewReader(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestPassingTroubleIsOvercome(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "0123")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, test := range []struct {
		name  string
		spoil fault
		least time.Duration
	}{
		{"500 twice", times(2, "HEAD", "/manifests/", answer(500)), 0},
		{"429 once", times(1, "HEAD", "/manifests/", answer(429, "Retry-After", "1")), time.Second},
		{"503 for a manifest", times(1, "GET", "/manifests/", answer(503, "Retry-After", "1")), time.Second},
		{"hangs up on each request four times", times(4, "GET", "/manifests/", hangUp), 0},
		{"cut in the middle of a layer", times(1, "GET", "/blobs/", cut), 0},
		{"silent once", times(1, "HEAD", "/manifests/", silent), time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _, layers := pushed(t, nil, "0123456789")
			p = startProxy(t, p.host, test.spoil)
			c, start := newClient(t), time.Now()
			store, _ := newStore(t)
			ref := parse(t, p.host+"/x:1")
			fetcher, err := c.Fetcher(t.Context(), ref)
			must(t, err)
			must(t, remotes.Fetch(t.Context(), store, fetcher, layers[0]))
			_, err = c.PullManifest(t.Context(), store, ref, platforms.All)
			must(t, err)
			if took := time.Since(start); took < test.least {
				t.Errorf("took %s, want at least %s", took, test.least)
			}
		})
	}
}

func TestBodyThatStallsIsResumedOrEnds(t *testing.T) {
	t.Parallel()
	stall := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "0123")
		_ = http.NewResponseController(w).Flush()
		silent(w, r)
	}
	for name, n := range map[string]int{"once": 1, "always": forever} {
		t.Run(name, func(t *testing.T) {
			p, _, layers := pushed(t, nil, "0123456789")
			p = startProxy(t, p.host, times(n, "GET", "/blobs/", stall))
			store, _ := newStore(t)
			c := newClient(t)
			c.patience.tries = 30 // all of them would take half a minute
			fetcher, err := c.Fetcher(t.Context(), parse(t, p.host+"/x:1"))
			must(t, err)
			start := time.Now()
			err = remotes.Fetch(t.Context(), store, fetcher, layers[0])
			if n == 1 {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), layers[0].Digest.String()+" of "+p.host+"/x:1: ") || !strings.Contains(err.Error(), "fell silent") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took > c.patience.dead+10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestSlowReaderIsNotASilentHost(t *testing.T) {
	t.Parallel()
	p, _, layers := pushed(t, nil, strings.Repeat("x", 1<<20))
	fetcher, err := newClient(t).Fetcher(t.Context(), parse(t, p.host+"/x:1"))
	must(t, err)
	rc, err := fetcher.Fetch(t.Context(), layers[0])
	must(t, err)
	defer rc.Close()
	_, err = io.ReadFull(rc, make([]byte, 10))
	must(t, err)
	time.Sleep(2 * time.Second) // longer than a dead host is waited for
	if n, err := io.Copy(io.Discard, rc); err != nil || n != 1<<20-10 {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if n := p.count("GET", "/blobs/"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestDeadRegistryEndsInTime(t *testing.T) {
	t.Parallel()
	blackhole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	must(t, err)
	defer blackhole.Close()
	for name, test := range map[string]struct{ host, want string }{
		"refused": {freePort(t), "refused the connection after 2 tries; check that a registry runs there"},
		"silent":  {blackhole.Addr().String(), "sent nothing for"},
		"no host": {"no-such-host.invalid", "not a known host"},
	} {
		for _, object := range []string{":1", "@sha256:" + strings.Repeat("0", 64)} {
			t.Run(name+object[:1], func(t *testing.T) {
				c := newClient(t)
				c.patience.tries = 30 // all of them would take half a minute
				start := time.Now()
				_, err := c.Resolve(t.Context(), parse(t, test.host+"/x"+object))
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				if took := time.Since(start); took > c.patience.dead+10*time.Second {
					t.Errorf("took %s", took)
				}
			})
		}
	}
}

func TestCancelledPullSaysSo(t *testing.T) {
	p := startProxy(t, "127.0.0.1:1", times(forever, "", "", silent))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := newClient(t).Resolve(ctx, parse(t, p.host+"/x"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestPushOvercomesTrouble(t *testing.T) {
	t.Parallel()
	drain := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			next(w, r)
		}
	}
	for _, test := range []struct {
		name  string
		spoil fault
		puts  int // of the layer and the config
		least time.Duration
	}{
		{"500 twice", times(2, "PUT", "/blobs/", drain(answer(500))), 4, 0},
		{"500 before the body", times(2, "PUT", "/blobs/", answer(500)), 4, 0},
		{"429 once", times(1, "PUT", "/blobs/", drain(answer(429, "Retry-After", "1"))), 3, time.Second},
		{"hangs up", times(2, "PUT", "/blobs/", hangUp), 4, 0},
		{"silent once", times(1, "PUT", "/blobs/", silent), 3, time.Second},
		{"upload start fails", times(4, "POST", "/blobs/", answer(500)), 2, 0},
		{"manifest fails", times(2, "PUT", "/manifests/", answer(502)), 2, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startProxy(t, startRegistry(t, false), test.spoil)
			c, start := newClient(t), time.Now()
			store, _ := newStore(t)
			must(t, c.Push(t.Context(), store, putImage(t, store, "amd64", strings.Repeat("x", 5<<20)), parse(t, p.host+"/x:1"), nil))
			if n := p.count("PUT", "/blobs/"); n != test.puts {
				t.Errorf("%d uploads, want %d", n, test.puts)
			}
			if took := time.Since(start); took < test.least {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestPushGivesUp(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil fault
		want  string
		puts  int
	}{
		{"500", times(forever, "PUT", "/blobs/", answer(500)), "answers 500 Internal Server Error (said by the registry)", 5},
		{"403", times(forever, "PUT", "/blobs/", answer(403)), "forbids it", 1},
		{"413", times(forever, "PUT", "/blobs/", answer(413)), "answers 413 Request Entity Too Large (said by the registry)", 1},
		{"denied", times(forever, "POST", "/blobs/", answer(401)), "log in with docker login", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := startProxy(t, startRegistry(t, false), test.spoil)
			store, _ := newStore(t)
			// A manifest without layers has its config as the only blob.
			err := newClient(t).Push(t.Context(), store, putImage(t, store, "amd64"), parse(t, p.host+"/x:1"), nil)
			if err == nil || !strings.HasPrefix(err.Error(), "push "+p.host+"/x:1: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if n := p.count("PUT", "/blobs/"); n != test.puts {
				t.Errorf("%d uploads, want %d", n, test.puts)
			}
			if n := p.count("PUT", "/manifests/"); n != 0 {
				t.Error("the manifest was pushed without its blobs")
			}
		})
	}
}

func TestUploadThatIsNeverCommittedIsNotSentAgain(t *testing.T) {
	p := startProxy(t, startRegistry(t, false), times(forever, "PUT", "/blobs/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		silent(w, r)
	}))
	c := newClient(t)
	c.patience.silence, c.patience.dead, c.patience.commit, c.patience.large = time.Minute, time.Minute, 300*time.Millisecond, 1
	store, _ := newStore(t)
	err := c.Push(t.Context(), store, putImage(t, store, "amd64"), parse(t, p.host+"/x:1"), nil)
	if err == nil || !strings.Contains(err.Error(), "sent nothing for 300ms") {
		t.Errorf("got %v", err)
	}
	if n := p.count("PUT", "/blobs/"); n != 1 {
		t.Errorf("%d uploads, want one", n)
	}
}

func TestSlowUploadIsNotASilentHost(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startRegistry(t, false), func(_ http.ResponseWriter, r *http.Request) bool {
		r.Body = slowBody{r.Body}
		return false
	})
	c, start := newClient(t), time.Now()
	store, _ := newStore(t)
	must(t, c.Push(t.Context(), store, putImage(t, store, "amd64", strings.Repeat("x", 24<<20)), parse(t, p.host+"/x:1"), nil))
	if took := time.Since(start); took < c.patience.dead {
		t.Errorf("took only %s, so the test shows nothing", took)
	}
	if n := p.count("PUT", "/blobs/"); n != 2 {
		t.Errorf("%d uploads, want one for each blob", n)
	}
}

// slowBody is taken from the network in small sips.
type slowBody struct{ io.ReadCloser }

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(3 * time.Millisecond)
	return b.ReadCloser.Read(p)
}

func TestDamagedBlobIsNotPushed(t *testing.T) {
	host := startRegistry(t, false)
	for name, harm := range map[string]func(t *testing.T, file string){
		"other bytes": func(t *testing.T, file string) { must(t, os.WriteFile(file, []byte("other bytes"), 0o644)) },
		"cut off":     func(t *testing.T, file string) { must(t, os.Truncate(file, 3)) },
		"missing":     func(t *testing.T, file string) { must(t, os.Remove(file)) },
	} {
		t.Run(name, func(t *testing.T) {
			store, dir := newStore(t)
			desc := putImage(t, store, "amd64", "right bytes")
			layer := readManifest(t, store, desc).Layers[0]
			file := filepath.Join(dir, "blobs", "sha256", layer.Digest.Encoded())
			must(t, os.Chmod(file, 0o644))
			harm(t, file)
			err := newClient(t).Push(t.Context(), store, desc, parse(t, host+"/"+strconv.Itoa(len(name))+":1"), nil)
			if err == nil || !strings.Contains(err.Error(), "blob "+layer.Digest.String()+" in the store") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWrongBytesAreRefusedAndForgotten(t *testing.T) {
	lie := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1000)) }
	p, manifest, _ := pushed(t, nil)
	short := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", int(manifest.Size)))
	}
	for name, do := range map[string]http.HandlerFunc{"longer": lie, "same size": short} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, p.host, times(1, "GET", "/manifests/", do))
			c, ref := newClient(t), parse(t, p.host+"/x:1")
			store, _ := newStore(t)
			_, err := c.PullManifest(t.Context(), store, ref, platforms.All)
			if err == nil || !strings.Contains(err.Error(), manifest.Digest.String()) {
				t.Errorf("got %v, want the digest", err)
			}
			_, err = c.PullManifest(t.Context(), store, ref, platforms.All)
			must(t, err)
		})
	}
}

func TestHugeManifestIsRefused(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		for r.Method == http.MethodGet {
			if _, err := io.WriteString(w, strings.Repeat(" ", 1<<20)); err != nil {
				return
			}
		}
	}
	p := startProxy(t, "127.0.0.1:1", times(forever, "", "/manifests/", endless))
	_, err := newClient(t).Resolve(t.Context(), parse(t, p.host+"/x:1"))
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
}
