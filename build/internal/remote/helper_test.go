package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestMain silences containerd's content store, which warns of what a file system cannot do, and hides the credentials
// of whoever runs the tests.
func TestMain(m *testing.M) { os.Exit(setUp(m)) }

func setUp(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lbuild-docker-config")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	// An entry keeps docker's library from looking for a default credential helper.
	err = os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths":{"other.example":{}}}`), 0o600)
	if err := errors.Join(err, os.Setenv("DOCKER_CONFIG", dir), log.SetLevel("fatal")); err != nil {
		panic(err)
	}
	return m.Run()
}

// The user lbuild with the password secret, as htpasswd writes it.
const htpasswd = "lbuild:$2b$04$m7vYiGUpAjV.Q3MNx.KG0.hITCKNXIGfWyCgI.eKCfsWYicSJblKa\n"

// startRegistry runs Debian's docker-registry on a free port of loopback and returns its host. With auth it wants
// htpasswd's user.
func startRegistry(t testing.TB, auth bool) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		if os.Getenv("LBUILD_TEST_STRICT") == "1" {
			t.Fatal("docker-registry is missing")
		}
		t.Skip("docker-registry is missing")
	}
	dir, host := t.TempDir(), freePort(t)
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", dir, host)
	if auth {
		file := filepath.Join(dir, "htpasswd")
		must(t, os.WriteFile(file, []byte(htpasswd), 0o600))
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", file)
	}
	file := filepath.Join(dir, "config.yml")
	must(t, os.WriteFile(file, []byte(config), 0o600))
	startProgram(t, program, "serve", file)
	for range 200 {
		if conn, err := net.Dial("tcp", host); err == nil {
			must(t, conn.Close())
			return host
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("docker-registry does not start")
	return ""
}

// startProgram runs a program until the test ends, or the test process, even when that is killed: the kernel then kills
// what the locked thread has started.
func startProgram(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed
		}
	}()
	must(t, <-started)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// proxy stands before a registry, counts requests and spoils some.
type proxy struct {
	host string
	mu   sync.Mutex
	seen []string // "METHOD path"
}

// fault answers a request itself and returns true, or leaves it to the registry.
type fault func(w http.ResponseWriter, r *http.Request) bool

func startProxy(t testing.TB, registry string, spoil fault) *proxy {
	t.Helper()
	p := &proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: registry})
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		if spoil == nil || !spoil(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p.host = strings.TrimPrefix(server.URL, "http://")
	return p
}

// count returns how many requests so far have a method and a part of their path.
func (p *proxy) count(method, part string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seen {
		if strings.HasPrefix(s, method) && strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}

// times makes a fault happen only to the first n requests that match.
func times(n int, method, part string, do http.HandlerFunc) fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		hit := n > 0 && strings.HasPrefix(r.Method, method) && strings.Contains(r.URL.Path, part)
		if hit {
			n--
		}
		mu.Unlock()
		if hit {
			do(w, r)
		}
		return hit
	}
}

func answer(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, `{"errors":[{"code":"X","message":"said by the registry"}]}`)
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

// silent does not answer for much longer than the patience of newClient, and takes no body.
func silent(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(5 * time.Second):
	}
	panic(http.ErrAbortHandler)
}

const forever = 1 << 30

// newClient is a client with a config.json of its own and little patience.
func newClient(t testing.TB) *Client {
	t.Helper()
	c, err := New(Options{Version: "1"})
	must(t, err)
	c.patience = patience{silence: time.Second, dead: 1800 * time.Millisecond, commit: 5 * time.Second, large: 8 << 20, tries: 5, pause: 5 * time.Millisecond, longest: 3 * time.Second}
	return c
}

// setConfig makes docker's config.json for the length of a test.
func setConfig(t testing.TB, config string) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
	t.Setenv("DOCKER_CONFIG", dir)
}

func parse(t testing.TB, s string) reference.Named {
	t.Helper()
	ref, err := ParseReference(s)
	must(t, err)
	return ref
}

func newStore(t testing.TB) (content.Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := local.NewLabeledStore(dir, &labelStore{all: map[digest.Digest]map[string]string{}})
	must(t, err)
	return store, dir
}

// labelStore keeps labels in memory, as local.NewLabeledStore wants them.
type labelStore struct {
	mu  sync.Mutex
	all map[digest.Digest]map[string]string
}

func (s *labelStore) Get(d digest.Digest) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[d], nil
}

func (s *labelStore) Set(d digest.Digest, labels map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[d] = labels
	return nil
}

func (s *labelStore) Update(d digest.Digest, update map[string]string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]string{}
	for key, value := range s.all[d] {
		next[key] = value
	}
	for key, value := range update {
		next[key] = value
	}
	s.all[d] = next
	return next, nil
}

func put(t testing.TB, store content.Store, mediaType string, data []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	must(t, content.WriteBlob(t.Context(), store, desc.Digest.String(), bytes.NewReader(data), desc))
	return desc
}

func putJSON(t testing.TB, store content.Store, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	must(t, err)
	return put(t, store, mediaType, data)
}

// putImage makes an image whose layers hold the given bytes; nothing here unpacks them.
func putImage(t testing.TB, store content.Store, arch string, layers ...string) ocispec.Descriptor {
	t.Helper()
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	manifest := ocispec.Manifest{Versioned: ocispecs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	for _, data := range layers {
		layer := put(t, store, ocispec.MediaTypeImageLayer, []byte(data))
		manifest.Layers = append(manifest.Layers, layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	manifest.Config = putJSON(t, store, ocispec.MediaTypeImageConfig, config)
	desc := putJSON(t, store, manifest.MediaType, manifest)
	desc.Platform = &config.Platform
	return desc
}

func putIndex(t testing.TB, store content.Store, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return putJSON(t, store, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: ocispecs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: manifests,
	})
}

func readManifest(t testing.TB, store content.Store, desc ocispec.Descriptor) (m ocispec.Manifest) {
	t.Helper()
	data, err := content.ReadBlob(t.Context(), store, desc)
	must(t, err)
	must(t, json.Unmarshal(data, &m))
	return m
}
