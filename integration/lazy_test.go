package integration

import (
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	lbuild "github.com/lbuild/lbuild/build"
)

// Bases come when somebody reads them. These tests count what is asked of a registry.

// layersRead is how many layers a proxy was asked for since it was last asked, and forgets them: blobs besides configs, which
// are the smaller part of what is read.
func (p *proxy) layersRead(configs int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	blobs := map[string]bool{}
	for _, r := range p.seen {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
			blobs[r.URL.Path] = true
		}
	}
	p.seen = nil
	return len(blobs) - configs
}

// manifestsRead is how many requests for manifests of a repository there were since the last count of layers.
func (p *proxy) manifestsRead(repository string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, r := range p.seen {
		if strings.Contains(r.URL.Path, "/"+repository+"/manifests/") && r.Method != http.MethodPut {
			n++
		}
	}
	return n
}

const onlyMetadata = "-- Buildfile --\nFROM %BASE%\nENV A=1\nCMD [\"sh\"]\n"

// pushedBase puts the base image into a registry.
func (l *lab) pushedBase(ref string) {
	l.Helper()
	other := l.otherRoot("base-root")
	other.mustBuild(other.context("-- Buildfile --\nFROM base\n"), "-q", "-t", ref, "--push")
}

func TestABaseBesideTheTargetIsNotDownloaded(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	p := startProxy(t, m.registry(), nil)
	base, app := p.host+"/base:1", p.host+"/app:1"
	m.pushedBase(base)
	dir := m.context(strings.ReplaceAll(onlyMetadata, "%BASE%", base))
	p.layersRead(0)
	first := m.mustMeasure(dir, "--push", "-t", app)
	if got := p.layersRead(1); got != 0 {
		t.Errorf("%d layers were read, want none", got)
	}
	if names := m.entries("snapshots/snapshots"); len(names) > 0 {
		t.Errorf("%d trees were made, want none", len(names))
	}
	if images := m.mustLbuild("images", "-q"); images != "" {
		t.Errorf("a base without its layers is listed as an image: %s", images)
	}
	second := m.mustMeasure(dir, "--push", "-t", app)
	if got := p.manifestsRead("base"); got != 0 || second.digest() != first.digest() {
		t.Errorf("the second build asked %d times for the base, want none, and made %s, want %s", got, second.digest(), first.digest())
	}
	if m.mustMeasure(dir, "--pull", "--push", "-t", app); p.manifestsRead("base") == 0 {
		t.Error("with --pull nobody asked for the base")
	}
	other := m.otherRoot("other")
	if got := other.mustLbuild("pull", "-q", app); got != first.digest() {
		t.Errorf("pull gives %s, want %s", got, first.digest())
	}
	m.checkEmpty()
}

func TestABaseOfAnotherRegistryIsDownloadedOnceAndNotUnpacked(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	from, to := startProxy(t, m.registry(), nil), startProxy(t, newLab(t).registry(), nil)
	base, app := from.host+"/base:1", to.host+"/app:1"
	m.pushedBase(base)
	from.layersRead(0)
	o := m.mustMeasure(m.context(strings.ReplaceAll(onlyMetadata, "%BASE%", base)), "--push", "-t", app, "-t", to.host+"/more:1")
	if got, want := from.layersRead(1), 4; got != want {
		t.Errorf("%d layers were read, want each of the %d once", got, want)
	}
	if names := m.entries("snapshots/snapshots"); len(names) > 0 {
		t.Errorf("%d trees were made, want none", len(names))
	}
	if got := m.otherRoot("other").mustLbuild("pull", "-q", app); got != o.digest() {
		t.Errorf("pull gives %s, want %s", got, o.digest())
	}
}

func TestAnImageInTheStoreHasTheBlobsOfItsBase(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	p := startProxy(t, m.registry(), nil)
	base := p.host + "/base:1"
	m.pushedBase(base)
	dir := m.context(strings.ReplaceAll(onlyMetadata, "%BASE%", base))
	p.layersRead(0)
	m.mustMeasure(dir, "-t", "app")
	if got, want := p.layersRead(1), 4; got != want {
		t.Errorf("%d layers were read, want %d", got, want)
	}
	if names := m.entries("snapshots/snapshots"); len(names) > 0 {
		t.Errorf("%d trees were made, want none", len(names))
	}
	p.server.Close() // what follows has no registry
	m.mustLbuild("save", "-o", "app.tar", "app")
	m.shell(dir, "echo 'RUN echo x >/x' >>Buildfile")
	o := m.mustMeasure(dir)
	if got, want := o.steps(), "4 done; 1 run"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	m.checkEmpty()
}

// What COPY reads of an image is remembered by the image, so a second build needs neither its tree nor its layers.
func TestAnImageThatWasReadBeforeIsNotUnpackedAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM scratch\nCOPY --from=base /etc/passwd /p\n")
	first := m.mustMeasure(dir)
	again := m.mustMeasure(dir)
	if again.digest() != first.digest() || again.steps() != "2 cached; 0 run" {
		t.Errorf("the second build: %s, %s", again.digest(), again.steps())
	}
}

// What a registry said of a name is remembered beside the name, and goes with it.
func TestARemovedBaseLeavesNothingAndIsAskedForAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	p := startProxy(t, m.registry(), nil)
	base := p.host + "/base:1"
	m.pushedBase(base)
	dir := m.context("-- Buildfile --\nFROM " + base + "\n")
	files := "type=tar,dest=" + filepath.Join(m.dir, "files.tar")
	m.mustMeasure(dir, "-o", files)
	m.mustLbuild("rmi", base)
	if blobs := m.entries("content/blobs/sha256"); len(blobs) > 0 {
		t.Errorf("%d blobs are left, want none", len(blobs))
	}
	p.layersRead(0)
	m.mustMeasure(dir, "-o", files)
	if p.manifestsRead("base") == 0 {
		t.Error("nobody asked for the base after its name was removed")
	}
}

// A tag that moved stays where the registry last said it was, also where an older answer has its layers here.
func TestWhatARegistrySaidLastCounts(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	registry := m.registry()
	base, app := registry+"/base:1", registry+"/app:1"
	m.pushedBase(base)
	unpacked := m.context("-- Buildfile --\nFROM " + base + "\nRUN true\n")
	m.mustMeasure(unpacked)
	m.otherRoot("moved").mustBuild(m.context("-- Buildfile --\nFROM base\nENV MOVED=1\n"), "-q", "-t", base, "--push")
	dir := m.context("-- Buildfile --\nFROM " + base + "\nENV A=1\n")
	want := m.mustMeasure(dir, "--pull", "--push", "-t", app).digest()
	if got := m.mustMeasure(dir, "--push", "-t", app).digest(); got != want {
		t.Errorf("without --pull the next build has %s, want %s as before", got, want)
	}
}

// Importing a base and unpacking it are told of in bytes, each layer to its end.
func TestImportingAndUnpackingABaseShowBytes(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	o := m.mustMeasure(m.context("-- Buildfile --\nFROM base\nRUN true\n"))
	ended := map[string]int{}
	for _, ev := range o.events {
		if ev.Type != lbuild.EventUnpack {
			continue
		}
		if ev.Current > ev.Total || ev.Name != "oci-layout://"+programs.base {
			t.Errorf("%d of %d bytes of %q", ev.Current, ev.Total, ev.Name)
		}
		if ev.State == lbuild.StateDone && ev.Current == ev.Total {
			ended[ev.Digest]++
		}
	}
	layers := 0
	for d, n := range ended {
		if n == 2 { // imported and unpacked; the rest is what describes the image
			layers++
		} else if n != 1 {
			t.Errorf("%s ended %d times", d, n)
		}
	}
	if layers != 4 {
		t.Errorf("%d layers were imported and unpacked, want 4: %v", layers, ended)
	}
}

// An index may have one image whose layers came, and one of which only the description was read.
func TestAnIndexIsSavedAndPushedWithTheImagesWhoseLayersAreHere(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	registry := m.registry()
	base := registry + "/base:1"
	files := "-- Buildfile --\nFROM scratch\nARG TARGETARCH\nCOPY f-$TARGETARCH /f\n-- f-amd64 --\na\n-- f-arm64 --\nb\n"
	m.otherRoot("base-root").mustBuild(m.context(files), "-q", "--platform", bothPlatforms, "-t", base, "--push")
	dir := m.context("-- Buildfile --\nFROM " + base + "\nENV A=1\n")
	m.mustMeasure(dir, "--platform", "linux/"+runtime.GOARCH, "--push", "-t", registry+"/app:1")
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	m.mustMeasure(dir, "--platform", "linux/"+other)
	m.mustLbuild("save", "-o", "base.tar", base)
	m.mustLbuild("push", "-q", base)
}
