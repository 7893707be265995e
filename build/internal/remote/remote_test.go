package remote

import (
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func only(t testing.TB, platform string) platforms.MatchComparer {
	t.Helper()
	p, err := platforms.Parse(platform)
	must(t, err)
	return platforms.Only(p)
}

func TestParseReferenceIsDockers(t *testing.T) {
	sum := digest.FromString("x").String()
	for in, want := range map[string]string{
		"x":                           "docker.io/library/x:latest",
		"user/x:1":                    "docker.io/user/x:1",
		"localhost/x":                 "localhost/x:latest",
		"r.example:5000/x":            "r.example:5000/x:latest",
		"x@" + sum:                    "docker.io/library/x@" + sum,
		"x:1@" + sum:                  "docker.io/library/x@" + sum,
		"127.0.0.1:5000/a/b/c:latest": "127.0.0.1:5000/a/b/c:latest",
	} {
		if got := parse(t, in); got.String() != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	for _, bad := range []string{"", "UPPER", "x:", "x@sha256:1", "a b"} {
		if _, err := ParseReference(bad); err == nil || !strings.Contains(err.Error(), `"`+bad+`"`) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestWhatIsPushedIsPulled(t *testing.T) {
	p := startProxy(t, startRegistry(t, false), nil)
	c, ref := newClient(t), parse(t, p.host+"/some/image:v1")
	from, _ := newStore(t)
	amd, arm := putImage(t, from, "amd64", "a", "shared"), putImage(t, from, "arm64", "b", "shared")
	index := putIndex(t, from, amd, arm)
	must(t, c.Push(t.Context(), from, index, ref, nil))

	p.reset()
	store, _ := newStore(t)
	img, err := c.PullManifest(t.Context(), store, ref, only(t, "linux/arm64"))
	must(t, err)
	if img.Target.Digest != index.Digest || img.Manifest.Digest != arm.Digest || img.Config.Architecture != "arm64" {
		t.Errorf("got %+v", img)
	}
	if diff := cmp.Diff(readManifest(t, from, arm).Layers, img.Layers); diff != "" {
		t.Error(diff)
	}
	if n := p.count("GET", "/blobs/"); n != 1 {
		t.Errorf("%d blobs were fetched, want the config only", n)
	}
	fetchLayers(t, c, store, p.host+"/some/image:v1", img)
	info, err := store.Info(t.Context(), img.Target.Digest)
	must(t, err)
	want := map[string]string{
		"containerd.io/distribution.source.127.0.0.1": "some/image",
		"containerd.io/gc.ref.content.m.0":            amd.Digest.String(),
		"containerd.io/gc.ref.content.m.1":            arm.Digest.String(),
	}
	if diff := cmp.Diff(want, info.Labels); diff != "" {
		t.Error(diff)
	}
}

func fetchLayers(t testing.TB, c *Client, store content.Store, name string, img Image) {
	t.Helper()
	fetcher, err := c.Fetcher(t.Context(), parse(t, name))
	must(t, err)
	for _, layer := range img.Layers {
		must(t, remotes.Fetch(t.Context(), store, fetcher, layer))
		must(t, MarkSource(t.Context(), store, parse(t, name), layer))
	}
}

func TestOthersReadWhatIsPushed(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		if os.Getenv("LBUILD_TEST_STRICT") == "1" {
			t.Fatal("skopeo is missing")
		}
		t.Skip("skopeo is missing")
	}
	host := startRegistry(t, false)
	from, _ := newStore(t)
	must(t, newClient(t).Push(t.Context(), from, putImage(t, from, "amd64"), parse(t, host+"/x:v1"), nil))
	out, err := exec.CommandContext(t.Context(), "skopeo", "inspect", "--tls-verify=false", "docker://"+host+"/x:v1").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"amd64"`) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestPushSendsNothingTwice(t *testing.T) {
	p := startProxy(t, startRegistry(t, false), nil)
	c, ref := newClient(t), parse(t, p.host+"/x:v1")
	store, _ := newStore(t)
	desc := putImage(t, store, "amd64", "a", "b", "a")
	must(t, c.Push(t.Context(), store, desc, ref, nil))
	if n := p.count("PUT", "/blobs/"); n != 3 {
		t.Errorf("%d blobs were sent, want a, b and the config once each", n)
	}
	p.reset()
	states := map[State]int{}
	must(t, c.Push(t.Context(), store, desc, ref, func(p Progress) { states[p.State]++ }))
	if p.count("PUT", "")+p.count("POST", "") != 0 {
		t.Errorf("sent again: %v", p.seen)
	}
	if diff := cmp.Diff(map[State]int{StateExists: 4}, states); diff != "" {
		t.Error(diff)
	}
}

func TestPushMountsFromOtherRepositories(t *testing.T) {
	p := startProxy(t, startRegistry(t, false), nil)
	c, store := newClient(t), func() content.Store { s, _ := newStore(t); return s }
	from := store()
	must(t, c.Push(t.Context(), from, putImage(t, from, "amd64", "base layer"), parse(t, p.host+"/base:1"), nil))
	to := store()
	img, err := c.PullManifest(t.Context(), to, parse(t, p.host+"/base:1"), platforms.All)
	must(t, err)
	fetchLayers(t, c, to, p.host+"/base:1", img)
	p.reset()
	child := putImage(t, to, "amd64", "base layer", "own layer")
	must(t, c.Push(t.Context(), to, child, parse(t, p.host+"/child:1"), nil))
	if n := p.count("PUT", "/blobs/"); n != 2 {
		t.Errorf("%d blobs were sent, want the own layer and the config: %v", n, p.seen)
	}
}

func TestPushReportsProgressToTheEnd(t *testing.T) {
	host := startRegistry(t, false)
	store, _ := newStore(t)
	desc := putImage(t, store, "amd64", strings.Repeat("x", 3<<20))
	layer := readManifest(t, store, desc).Layers[0]
	var got []Progress
	must(t, newClient(t).Push(t.Context(), store, desc, parse(t, host+"/x"), func(p Progress) {
		if p.Digest == layer.Digest {
			got = append(got, p)
		}
	}))
	last := len(got) - 1
	if got[0] != (Progress{layer.Digest, StateStarted, 0, layer.Size}) || got[last] != (Progress{layer.Digest, StateDone, layer.Size, layer.Size}) {
		t.Errorf("first %+v, last %+v", got[0], got[last])
	}
}

func TestPullNamesThePlatformsThereAre(t *testing.T) {
	host := startRegistry(t, false)
	c, ref := newClient(t), parse(t, host+"/x:1")
	store, _ := newStore(t)
	index := putIndex(t, store, putImage(t, store, "amd64"), putImage(t, store, "arm64"))
	must(t, c.Push(t.Context(), store, index, ref, nil))
	_, err := c.PullManifest(t.Context(), store, ref, only(t, "linux/s390x"))
	want := "pull " + host + "/x:1: no image for the platform; there are linux/amd64, linux/arm64"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCredentialsComeFromDockersConfig(t *testing.T) {
	host := startRegistry(t, true)
	bin := t.TempDir()
	helper := "#!/bin/sh\necho '{\"ServerURL\":\"x\",\"Username\":\"lbuild\",\"Secret\":\"secret\"}'\n"
	must(t, os.WriteFile(filepath.Join(bin, "docker-credential-lbuildtest"), []byte(helper), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	auth := func(s string) string {
		return `{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"}}}`
	}
	for _, test := range []struct{ name, config, want string }{
		{"right", auth("lbuild:secret"), ""},
		{"helper", `{"credHelpers":{"` + host + `":"lbuildtest"}}`, ""},
		{"none", `{"auths":{"other.example":{}}}`, "log in with docker login " + host},
		{"wrong", auth("lbuild:wrong"), "log in with docker login " + host},
		{"missing helper", `{"credHelpers":{"` + host + `":"no-such"}}`, "docker-credential-no-such"},
		{"broken file", `{`, "config.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setConfig(t, test.config)
			c, ref := newClient(t), parse(t, host+"/x:1")
			store, _ := newStore(t)
			err := c.Push(t.Context(), store, putImage(t, store, "amd64", "a"), ref, nil)
			if test.want == "" {
				must(t, err)
				_, err = c.PullManifest(t.Context(), store, ref, platforms.All)
				must(t, err)
				return
			}
			_, pullErr := c.PullManifest(t.Context(), store, ref, platforms.All)
			for _, err := range []error{err, pullErr} {
				if err == nil || !strings.Contains(err.Error(), host+"/x:1: ") || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want %q", err, test.want)
				}
			}
		})
	}
}

func TestSchemeDependsOnTheHost(t *testing.T) {
	c, err := New(Options{Insecure: []string{"r.example:5000"}})
	must(t, err)
	for host, want := range map[string]string{
		"r.example:5000": "http", "r.example": "https", "docker.io": "https", "localhost:5000": "https", "127.9.9.9": "https", "[::1]:5000": "https",
	} {
		hosts, err := c.registryHosts(host)
		must(t, err)
		if hosts[0].Scheme != want {
			t.Errorf("%s: got %s, want %s first", host, hosts[0].Scheme, want)
		}
	}
	for host, want := range map[string]bool{"localhost": true, "127.1.2.3:80": true, "[::1]:5000": true, "::1": true, "localhost.example": false, "10.0.0.1": false, "r.example": false} {
		if got := isLoopback(host); got != want {
			t.Errorf("loopback %s: got %v", host, got)
		}
	}
	if _, err := New(Options{Insecure: []string{"http://r.example"}}); err == nil {
		t.Error("an address passes as a host")
	}
}

func TestLoopbackIsAskedByHTTPSFirst(t *testing.T) {
	patient := patience{silence: 6 * time.Second, dead: 30 * time.Second, tries: 5, pause: time.Second}
	for name, delay := range map[string]time.Duration{"at once": 0, "late": patient.silence * 3 / 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(nil)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Listener = &lateListener{server.Listener, delay}
			server.StartTLS()
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "https://")
			c := newClient(t)
			c.patience = patient
			_, err := c.Resolve(t.Context(), parse(t, host+"/x:1"))
			if err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("got %v, want the certificate to be refused", err)
			}
		})
	}
}

// lateListener reads from each connection only after a delay.
type lateListener struct {
	net.Listener
	delay time.Duration
}

func (l *lateListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &lateConn{Conn: conn, delay: l.delay}, err
}

type lateConn struct {
	net.Conn
	delay time.Duration
	once  sync.Once
}

func (c *lateConn) Read(p []byte) (int, error) {
	c.once.Do(func() { time.Sleep(c.delay) })
	return c.Conn.Read(p)
}

func TestFetchGoesOnAtAnOffset(t *testing.T) {
	host := startRegistry(t, false)
	c, ref := newClient(t), parse(t, host+"/x:1")
	store, _ := newStore(t)
	desc := putImage(t, store, "amd64", "0123456789")
	must(t, c.Push(t.Context(), store, desc, ref, nil))
	fetcher, err := c.Fetcher(t.Context(), ref)
	must(t, err)
	layer := readManifest(t, store, desc).Layers[0]
	layer.URLs = []string{"http://127.0.0.1:1/elsewhere"} // must not be followed
	rc, err := fetcher.Fetch(t.Context(), layer)
	must(t, err)
	defer rc.Close()
	_, err = rc.(io.Seeker).Seek(4, io.SeekStart)
	must(t, err)
	if data, err := io.ReadAll(rc); err != nil || string(data) != "456789" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestImagesThatCannotBeUnpackedAreRefused(t *testing.T) {
	host := startRegistry(t, false)
	c := newClient(t)
	store, _ := newStore(t)
	layer := put(t, store, "application/x-odd", []byte("x"))
	config := putJSON(t, store, ocispec.MediaTypeImageConfig, ocispec.Image{RootFS: ocispec.RootFS{DiffIDs: []digest.Digest{layer.Digest}}})
	for name, test := range map[string]struct {
		manifest ocispec.Manifest
		want     string
	}{
		"odd":   {ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}}, `unknown media type "application/x-odd"`},
		"count": {ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{}}, "and its config disagree on the number of layers: 0 and 1"},
	} {
		t.Run(name, func(t *testing.T) {
			test.manifest.SchemaVersion, test.manifest.MediaType = 2, ocispec.MediaTypeImageManifest
			ref := parse(t, host+"/"+name+":1")
			must(t, c.Push(t.Context(), store, putJSON(t, store, ocispec.MediaTypeImageManifest, test.manifest), ref, nil))
			_, err := c.PullManifest(t.Context(), store, ref, platforms.All)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
