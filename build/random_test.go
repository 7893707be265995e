package build_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/build/internal/storetest"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/snapshot"
)

// randomSeed is that of LBUILD_TEST_SEED, to see a failure again, or else a new one.
func randomSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LBUILD_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LBUILD_TEST_SEED=%d", seed)
	return seed
}

// TestRandomGraphs builds random Buildfiles, most of them several times and two at once, in one store, where some fail and
// some are canceled at a random moment. Whatever came before, a build gives what it gives alone in an empty store; each
// node runs once, after what it stands on and reads; and nothing is left of a build but what the store keeps.
func TestRandomGraphs(t *testing.T) {
	w := newWorkshop(t)
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	end, files := time.Now().Add(25*time.Second), 0
	for ; files < 60 && time.Now().Before(end) && !t.Failed(); files++ {
		w.change(random)
		runs := 0
		if files%6 == 5 {
			runs = 3
		}
		f := newRandomFile(random, runs)
		want, wantErr := w.alone(f)
		if (wantErr != nil) && !f.fails {
			t.Errorf("alone: %v", wantErr)
		}
		for range 2 {
			w.beside(random, f, want, wantErr)
		}
		if t.Failed() {
			t.Logf("the Buildfile:\n%s", f.text())
		}
	}
	t.Logf("%d Buildfiles, %d builds: %v", files, w.builds, w.outcomes)
}

// workshop is a store with builders of 1 to 8 jobs on it.
type workshop struct {
	*testing.T
	dir     string // the context
	root    string
	runtime string // "": there is none, so no RUN
	store   *snapshot.Store

	builds   int
	outcomes map[string]int
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	storetest.NeedRoot(t)
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // most of the time would go to syncing
	}
	w := &workshop{T: t, dir: t.TempDir(), root: t.TempDir(), outcomes: map[string]int{}}
	w.runtime = findRuntime(t)
	if busybox, err := exec.LookPath("busybox"); err != nil {
		storetest.Missing(t, "Debian's busybox-static")
	} else if err := exec.Command("cp", busybox, filepath.Join(w.dir, "busybox")).Run(); err != nil {
		t.Fatal(err)
	}
	w.store = openStore(t, w.root)
	return w
}

// findRuntime is the runc that make puts into bin, or one on PATH.
func findRuntime(t *testing.T) string {
	t.Helper()
	if path, err := filepath.Abs("../bin/runc"); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath("runc")
	if err != nil {
		storetest.Missing(t, "runc: run make")
	}
	return path
}

func openStore(t *testing.T, root string) *snapshot.Store {
	t.Helper()
	store, err := build.OpenStore(t.Context(), root, func(err error) { t.Errorf("warning of the store: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// change writes the context anew, with few different contents.
func (w *workshop) change(random *rand.Rand) {
	for i := range randomContexts {
		names := []string{fmt.Sprint("f", i), fmt.Sprintf("d%d/a", i), fmt.Sprintf("d%d/b/c", i), fmt.Sprint("amd64/", i), fmt.Sprint("arm64/", i)}
		for _, name := range names {
			name = filepath.Join(w.dir, name)
			err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, fmt.Appendln(nil, random.IntN(3)), 0o644))
			if err != nil {
				w.Fatal(err)
			}
		}
	}
}

// attempt is one build.
type attempt struct {
	build.Request
	cancelAt int // the number of the event that cancels it; 0: none

	file   *randomFile
	events []build.Event
	digest string
	err    error
}

func (w *workshop) request(f *randomFile) build.Request {
	epoch := time.Unix(1700000000, 0)
	return build.Request{Context: w.dir, BuildfileText: f.text(), Platforms: f.platforms, Epoch: &epoch}
}

// alone builds one step after the other in an empty store.
func (w *workshop) alone(f *randomFile) (digest string, err error) {
	root, err := os.MkdirTemp(w.TempDir(), "")
	if err != nil {
		w.Fatal(err)
	}
	store, err := build.OpenStore(w.Context(), root, nil)
	if err != nil {
		w.Fatal(err)
	}
	a := &attempt{Request: w.request(f), file: f}
	w.run(builder(w.T, store, build.Options{Jobs: 1, Runtime: w.runtime}), a)
	w.checkEvents(a)
	w.checkLeft(root)
	if err := errors.Join(store.Close(), os.RemoveAll(root)); err != nil {
		w.Fatal(err)
	}
	return a.digest, a.err
}

func builder(t *testing.T, store *snapshot.Store, opts build.Options) *build.Builder {
	t.Helper()
	b, err := build.New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// beside builds in the store that all builds share, one or two at once.
func (w *workshop) beside(random *rand.Rand, f *randomFile, want string, wantErr error) {
	b := builder(w.T, w.store, build.Options{Jobs: 1 + random.IntN(8), Runtime: w.runtime})
	var attempts []*attempt
	for range 1 + random.IntN(2) {
		a := &attempt{Request: w.request(f), file: f}
		a.vary(random)
		attempts = append(attempts, a)
	}
	before := goleak.IgnoreCurrent()
	var group sync.WaitGroup
	for _, a := range attempts {
		group.Go(func() { w.run(b, a) })
	}
	group.Wait()
	if err := goleak.Find(before); err != nil {
		w.Errorf("goroutines are left: %v", err)
	}
	w.checkLeft(w.root)
	for _, a := range attempts {
		w.checkEvents(a)
		w.checkOutcome(a, want, wantErr)
	}
}

// vary sets what must not matter for the image.
func (a *attempt) vary(random *rand.Rand) {
	a.NoCache = random.IntN(8) == 0
	for _, st := range a.file.stages {
		if random.IntN(8) == 0 {
			a.NoCacheStages = append(a.NoCacheStages, st.name)
		}
	}
	if random.IntN(4) == 0 {
		a.cancelAt = 1 + random.IntN(3*len(a.file.steps)+1)
	}
	a.Outputs = []build.Output{{Type: build.OutputImage}}
	switch random.IntN(4) {
	case 0: // trees are needed
		if len(a.Platforms) == 0 {
			a.Outputs = append(a.Outputs, build.Output{Type: build.OutputTar, Writer: io.Discard})
		}
	case 1: // layers are needed twice
		zstd, err := compress.Parse("zstd")
		if err == nil {
			a.Outputs = append(a.Outputs, build.Output{Type: build.OutputOCI, Writer: io.Discard, Compression: &zstd})
		}
	}
}

// run builds, and ends the test with all stacks where that does not end.
func (w *workshop) run(b *build.Builder, a *attempt) {
	ctx, cancel := context.WithCancel(w.Context())
	defer cancel()
	a.Events = func(ev build.Event) {
		a.events = append(a.events, ev)
		if len(a.events) == a.cancelAt {
			cancel()
		}
	}
	stuck := time.AfterFunc(time.Minute, func() {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		panic(fmt.Sprintf("a build does not end:\n%s", a.file.text()))
	})
	defer stuck.Stop()
	result, err := b.Build(ctx, a.Request)
	if a.err = err; err == nil {
		a.digest = string(result.Manifest.Digest)
	}
}

func (w *workshop) checkOutcome(a *attempt, want string, wantErr error) {
	w.Helper()
	w.builds++
	canceled := a.cancelAt > 0 && a.cancelAt <= len(a.events)
	switch {
	case a.err == nil && wantErr == nil:
		w.outcomes["done"]++
		if a.digest != want {
			w.Errorf("%s: %s, want %s as alone in an empty store", a, a.digest, want)
		}
	case a.err == nil:
		w.Errorf("%s succeeds, and alone it fails: %v", a, wantErr)
	case errors.Is(a.err, context.Canceled) && canceled:
		w.outcomes["canceled"]++
	case wantErr == nil:
		w.Errorf("%s: %v", a, a.err)
	default:
		w.outcomes["failed"]++
	}
}

func (a *attempt) String() string {
	return fmt.Sprintf("build with NoCache=%v of %v, %d outputs, canceled at %d", a.NoCache, a.NoCacheStages, len(a.Outputs), a.cancelAt)
}

// checkEvents fails the test unless the steps tell of a graph that was solved in order, each node once.
func (w *workshop) checkEvents(a *attempt) {
	w.Helper()
	started, ended, nodes := map[string]bool{}, map[string]build.State{}, map[string]int{}
	done := map[string]bool{} // by platform and line
	for _, ev := range a.events {
		if ev.Type != build.EventStep {
			continue
		}
		s := a.file.steps[ev.Line]
		if s == nil {
			w.Errorf("a step of line %d, where there is none", ev.Line)
			continue
		}
		if ended[ev.ID] != "" {
			w.Errorf("%s: step %s is %s after it was %s", a, ev.ID, ev.State, ended[ev.ID])
		}
		for _, below := range []*randomStep{s.below, s.reads} {
			if below != nil && !done[below.on(ev.Platform)] && ev.State != build.StateFailed && ev.State != build.StateCanceled {
				w.Errorf("%s: step %s is %s before what it stands on or reads is done", a, ev.ID, ev.State)
			}
		}
		switch ev.State {
		case build.StateStarted:
			if started[ev.ID] {
				w.Errorf("%s: step %s starts twice", a, ev.ID)
			}
			started[ev.ID] = true
			if nodes[s.on(ev.Platform)]++; nodes[s.on(ev.Platform)] > 1 {
				w.Errorf("%s: the node of step %s runs twice", a, ev.ID)
			}
			continue
		case build.StateDone, build.StateFailed, build.StateCanceled:
			if !started[ev.ID] {
				w.Errorf("%s: step %s is %s and never started", a, ev.ID, ev.State)
			}
		case build.StateCached:
			if started[ev.ID] {
				w.Errorf("%s: step %s is cached, and has started", a, ev.ID)
			}
		}
		ended[ev.ID] = ev.State
		if ev.State == build.StateDone || ev.State == build.StateCached {
			done[s.on(ev.Platform)] = true
		}
	}
	for id := range started {
		if ended[id] == "" {
			w.Errorf("%s: step %s starts and never ends", a, id)
		}
	}
}

// on is the node of a step in the image of a platform.
func (s *randomStep) on(platform string) string {
	_, arch, _ := strings.Cut(platform, "/")
	return strings.ReplaceAll(s.node, "$TARGETARCH", arch)
}

// checkLeft fails the test for what only a running build may have.
func (w *workshop) checkLeft(root string) {
	w.Helper()
	for _, dir := range []string{"locks", "leases"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			w.Error(err)
		}
		for _, e := range entries {
			w.Errorf("left behind: %s/%s", dir, e.Name())
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		w.Fatal(err)
	}
	if strings.Contains(string(mounts), " "+root+"/") {
		w.Errorf("a mount is left below %s", root)
	}
}
