package integration

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	lbuild "github.com/lbuild/lbuild/build"
)

// arrivals are the times at which requests came to a proxy.
type arrivals struct {
	mu              sync.Mutex
	blobs, manifest []time.Time
}

// note is a fault that spoils nothing.
func (a *arrivals) note(_ http.ResponseWriter, r *http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, uploads):
		a.blobs = append(a.blobs, time.Now())
	case r.Method == http.MethodPut:
		a.manifest = append(a.manifest, time.Now())
	}
	return false
}

// sent is how many blobs have come.
func (a *arrivals) sent() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.blobs)
}

func TestLayersArePushedWhileLaterStepsRun(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	var seen arrivals
	p := startProxy(t, m.registry(), seen.note)
	const early = 4 + 1 // layers of the base, and that of the first step
	g := newGate(t)
	g.openWhen(func() bool { return seen.sent() == early })
	dir := m.context("-- Buildfile --\nFROM base\nRUN seq 1 100000 >/1\nRUN " + g.wait() + "\nRUN echo 2 >/2\n")
	o := m.mustMeasure(dir, "--push", "-t", p.host+"/one/app:1", "-t", p.host+"/two/app:1", "-t", p.host+"/one/app:2")
	waiting, last := o.spans()[3], o.spans()[4]
	before := 0
	for _, at := range seen.blobs {
		if at.Before(waiting.end) {
			before++
		}
	}
	if before != early {
		t.Errorf("%d layers were sent before the second step ended, want %d", before, early)
	}
	if total := early + 1 + 1; len(seen.blobs) != total { // the last step's, and the config
		t.Errorf("%d blobs were sent, want each of the %d once", len(seen.blobs), total)
	}
	for _, at := range seen.manifest {
		if at.Before(last.end) {
			t.Error("a manifest was sent before the last step ended")
		}
	}
	for _, name := range []string{"/one/app:1", "/two/app:1", "/one/app:2"} {
		if got := m.otherRoot("other").mustLbuild("pull", "-q", p.host+name); got != o.digest() {
			t.Errorf("%s is %s, want %s", name, got, o.digest())
		}
	}
	result := o.events[len(o.events)-1]
	if w := result.Pushing; result.Type != lbuild.EventResult || w.Hidden <= 0 || w.Hidden >= w.Seconds {
		t.Errorf("the last event is %+v, want one that says how much pushing was hidden", result)
	}
}

// TestEachCompressionIsPushedOnItsOwn has two outputs of one build that hold other blobs.
func TestEachCompressionIsPushedOnItsOwn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := l.registry()
	l.mustBuild(l.context(app), "-q", "-o", "type=registry,compression=gzip,name="+addr+"/a:gz",
		"-o", "type=registry,compression=zstd,force-compression=true,name="+addr+"/a:zst")
	l.need("skopeo")
	for tag, suffix := range map[string]string{"gz": "gzip", "zst": "zstd"} {
		raw := l.must("skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+addr+"/a:"+tag)
		if got := strings.Count(raw, "tar+"+suffix); got != 6 {
			t.Errorf("%s: %d layers are %s, want six: %s", tag, got, suffix, raw)
		}
	}
}

// stall takes blobs and never says that it has them. ended tells when the client has given up on one.
func stall(ended chan<- struct{}) fault {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, uploads) {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body) // it may break off
		<-r.Context().Done()
		ended <- struct{}{}
		return true
	}
}

func TestAFailedStepEndsThePush(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	ended := make(chan struct{}, 100)
	p := startProxy(t, m.registry(), stall(ended))
	g := newGate(t)
	g.openWhen(func() bool { return p.count(http.MethodPut, uploads) > 0 })
	dir := m.context("-- Buildfile --\nFROM base\nRUN seq 1 100000 >/1\nRUN " + g.wait() + "; exit 3\n")
	start := time.Now()
	o := m.measure(dir, "-t", p.host+"/app:1", "--push", "-o", "type=image")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	failed := o.events[len(o.events)-1]
	if o.code != 1 || !strings.HasPrefix(failed.Text, "Buildfile:3: ") {
		t.Errorf("status %d, %q", o.code, failed.Text)
	}
	if got, want := o.pushed(), []lbuild.State{lbuild.StateStarted, lbuild.StateCanceled}; !cmp.Equal(got, want) {
		t.Errorf("the push is %v, want %v", got, want)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("no upload had begun, or it was not given up")
	}
	if n := p.count(http.MethodPut, manifests); n != 0 {
		t.Errorf("%d manifests were sent", n)
	}
	m.checkResidue()
}

// pushed are the states of the push as a whole.
func (o outcome) pushed() (states []lbuild.State) {
	for _, ev := range o.events {
		if ev.Type == lbuild.EventPush && ev.Digest == "" {
			states = append(states, ev.State)
		}
	}
	return states
}

// TestAPushThatFailsEndsTheBuild has the registry refuse the base's layers while the first step runs.
func TestAPushThatFailsEndsTheBuild(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	p := startProxy(t, m.registry(), first(always, http.MethodPost, uploads, answer(http.StatusForbidden)))
	dir := m.context("-- Buildfile --\nFROM base\nRUN sleep 60\n")
	start := time.Now()
	o := m.measure(dir, "-t", p.host+"/app:1", "--push")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	failed := o.events[len(o.events)-1]
	if !strings.HasPrefix(failed.Text, "output type=registry: push "+p.host+"/app:1: "+p.host+" forbids it") || o.code != 1 {
		t.Errorf("status %d, %q", o.code, failed.Text)
	}
	if got, want := o.pushed(), []lbuild.State{lbuild.StateStarted, lbuild.StateFailed}; !cmp.Equal(got, want) {
		t.Errorf("the push is %v, want %v", got, want)
	}
	m.checkResidue()
}

// TestASignalWhileALayerIsOnItsWay interrupts a build that packs, and one that pushes.
func TestASignalWhileALayerIsOnItsWay(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	p := startProxy(t, m.registry(), stall(make(chan struct{}, 100)))
	dir := m.context("-- Buildfile --\nFROM scratch\nCOPY noise /noise\n")
	m.writeNoise(filepath.Join(dir, "noise"), 48<<20)
	for _, event := range []lbuild.EventType{lbuild.EventPack, lbuild.EventPush} {
		state, said := m.interruptAt(event, dir, "-t", p.host+"/app:1", "--push")
		if state != 130 || !strings.Contains(said, "interrupted") {
			t.Errorf("%s: status %d\n%s", event, state, said)
		}
		m.checkResidue()
	}
	if n := p.count(http.MethodPut, manifests); n != 0 {
		t.Errorf("%d manifests were sent", n)
	}
	m.checkEmpty()
}

// interruptAt sends a build a SIGINT at the first event of a type, and returns its exit status and what it says then.
func (m *meter) interruptAt(event lbuild.EventType, dir string, args ...string) (status int, said string) {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), time.Minute)
	defer cancel()
	cmd := m.command(ctx, m.program, m.buildArgs(dir, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		m.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	interrupted := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); said += lines.Text() + "\n" {
		if !interrupted && bytes.Contains(lines.Bytes(), []byte(`"type":"`+string(event)+`"`)) {
			interrupted, said = true, ""
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
	_ = cmd.Wait() // the status says it
	return cmd.ProcessState.ExitCode(), said
}
