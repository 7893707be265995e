package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// otherRoot is the same lab with an empty store.
func (l *lab) otherRoot(name string) *lab {
	other := *l
	other.root = filepath.Join(l.dir, name)
	return &other
}

// mustLbuild is lbuild, and fails the test where that fails. It returns stdout without the newline.
func (l *lab) mustLbuild(args ...string) string {
	l.Helper()
	return strings.TrimSpace(l.must(programs.lbuild, append([]string{"--root", l.root}, args...)...))
}

func (l *lab) readFile(name string) string {
	l.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.Fatal(err)
	}
	return string(data)
}

// app is a context whose image has layers of its own on those of the base.
const app = `
-- Buildfile --
FROM base
COPY file /app/file
RUN rm /app/file && echo made > /app/made
-- file --
content
`

func TestPushedImageIsPulledWithItsDigest(t *testing.T) {
	for _, compression := range []string{"gzip", "zstd", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			addr := l.registry()
			name := addr + "/team/app:1"
			digest := l.mustBuild(l.context(app), "-q", "-t", name, "--compression", compression, "--push")
			if images := l.mustLbuild("images", "-q"); images != "" {
				t.Errorf("--push alone put %s into the store", images)
			}

			other := l.otherRoot("other")
			for _, ref := range []string{name, addr + "/team/app@" + digest} {
				if got := other.mustLbuild("pull", "-q", ref); got != digest {
					t.Errorf("pull of %s gives %s, want %s", ref, got, digest)
				}
			}
			if got := other.mustLbuild("push", "-q", name); got != digest {
				t.Errorf("push of what was pulled gives %s, want %s", got, digest)
			}

			third := l.otherRoot("third")
			for _, ref := range []string{name, addr + "/team/app@" + digest} {
				third.mustBuild(l.context("-- Buildfile --\nFROM "+ref+"\nRUN test ! -e /app/file\n"), "-q", "--no-cache", "-o", "tree")
				if got := l.readFile("tree/app/made"); got != "made\n" {
					t.Errorf("FROM %s: /app/made holds %q", ref, got)
				}
			}
			l.checkIdle()
		})
	}
}

func TestOutputRegistryPushesEachName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := l.registry()
	digest := l.mustBuild(l.context(app), "-q", "-t", addr+"/a:1", "-t", addr+"/a:2",
		"-o", "type=registry", "-o", "type=registry,name="+addr+"/b:3", "-o", "type=image")
	for _, name := range []string{"/a:1", "/a:2", "/b:3"} {
		if got := l.otherRoot("other").mustLbuild("pull", "-q", addr+name); got != digest {
			t.Errorf("%s is %s, want %s", name, got, digest)
		}
	}
	names := strings.Fields(l.mustLbuild("images", "--format", "json"))
	if len(names) != 2 {
		t.Errorf("the store has %q, want the two tags", names)
	}
}

func TestPushSendsOnlyWhatTheRegistryLacks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := startProxy(t, l.registry(), nil)
	name := p.host + "/one/app:1"
	digest := l.mustBuild(l.context(app), "-q", "-t", name)

	type requests struct{ Uploads, Sent, Mounted int }
	push := func(name string) requests {
		t.Helper()
		p.reset()
		if got := l.mustLbuild("push", "-q", name); got != digest {
			t.Errorf("push of %s gives %s, want %s", name, got, digest)
		}
		return requests{
			Uploads: p.count(http.MethodPost, "/blobs/uploads/"),
			Sent:    p.count(http.MethodPut, "/blobs/uploads/"),
			Mounted: p.count(http.MethodPost, "mount="),
		}
	}
	const blobs = 7 // four layers of the base, two of the app, and the config
	for _, test := range []struct {
		name string
		want requests
	}{
		{name, requests{Uploads: blobs, Sent: blobs}},
		{name, requests{}},
		{p.host + "/one/app:2", requests{}},
		{p.host + "/two/app:1", requests{Uploads: blobs, Mounted: blobs}},
	} {
		l.mustLbuild("tag", name, test.name)
		if diff := cmp.Diff(test.want, push(test.name)); diff != "" {
			t.Errorf("push to %s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestBaseIsAskedForAgainOnlyWithPull(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := startProxy(t, l.registry(), nil)
	name := p.host + "/base:1"
	publish := func(text string) {
		t.Helper()
		l.otherRoot("publisher").mustBuild(l.context("-- Buildfile --\nFROM base\nRUN echo "+text+" > /version\n"), "-q", "-t", name, "--push")
	}
	dir := l.context("-- Buildfile --\nFROM " + name + "\nRUN cat /version > /seen\n")
	build := func(want string, requests bool, args ...string) {
		t.Helper()
		p.reset()
		l.mustBuild(dir, append(args, "-q", "-o", "tree")...)
		if got := l.readFile("tree/seen"); got != want+"\n" {
			t.Errorf("%q: built on %q, want %q", args, got, want)
		}
		if got := p.count("", ""); (got > 0) != requests {
			t.Errorf("%q: %d requests", args, got)
		}
	}
	publish("one")
	build("one", true)
	build("one", false)
	publish("two")
	build("one", false)
	build("one", false, "--no-cache")
	build("two", true, "--pull")
	build("two", false)

	p.stop()
	build("two", false, "--no-cache")
	if r := l.build(dir, "-q", "--pull"); r.code != 1 || !strings.Contains(r.stderr, "refused the connection") {
		t.Errorf("--pull without a registry: status %d, %s", r.code, r.stderr)
	}
	l.checkIdle()
}

func TestRegistryLacksWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := l.registry()
	l.otherRoot("publisher").mustBuild(l.context(app), "-q", "-t", addr+"/app:1", "--push")
	l.otherRoot("publisher").mustBuild(l.context("-- Buildfile --\nFROM base\nRUN echo > /x\n"), "-q", "-t", addr+"/holed:1", "--push")
	l.must("sh", "-c", "rm -r registry/docker/registry/v2/repositories/holed/_layers")
	l.must("sh", "-c", "find registry/docker/registry/v2/blobs -name data -size +1000k -delete")
	unknown := "sha256:" + strings.Repeat("0", 64)
	for from, want := range map[string]string{
		addr + "/app:none":       "resolve " + addr + "/app:none: not found at " + addr,
		addr + "/none:1":         "resolve " + addr + "/none:1: not found at " + addr,
		addr + "/app@" + unknown: "resolve " + addr + "/app@" + unknown + ": not found at " + addr,
		addr + "/holed:1":        " of " + addr + "/holed:1: not found at " + addr,
	} {
		r := l.build(l.context("-- Buildfile --\nFROM "+from+"\n"), "-q", "-t", "left:1")
		if r.code != 1 || !strings.HasPrefix(r.stderr, "Buildfile:1: ") || !strings.Contains(r.stderr, want) {
			t.Errorf("FROM %s: status %d, %s, want %q", from, r.code, r.stderr, want)
		}
	}
	l.checkNothingLeft()
}
