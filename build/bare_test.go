package build

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lbuild/lbuild/build/internal/source"
)

// A prune keeps what a running build uses: it takes away the record of a layer, but not the layer.
func TestAPruneLeavesTheOnlyLayerOfACachedStepToItsBuild(t *testing.T) {
	b, _ := newTestBuilder(t)
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY . /\n"})
	if _, err := b.Build(t.Context(), Request{Context: dir}); err != nil {
		t.Fatal(err)
	}
	pruned := false
	pruneBeside := func(e Event) {
		if e.Type != EventStep || e.State != StateCached {
			return
		}
		pruned = true
		prune(t, b, true)
	}
	result, err := b.Build(t.Context(), Request{Context: dir, Events: pruneBeside})
	if err != nil {
		t.Fatal(err)
	}
	if !pruned || len(result.Layers) != 1 {
		t.Errorf("pruned: %t; layers: %v; want one", pruned, result.Layers)
	}
}

// While the last step waits to pack its layer, nothing runs, and the step itself takes no time. The budget has room for one
// layer, and another build packs that until it is told to go on.
func TestAStepThatWaitsToPackItsLayerDoesNotRun(t *testing.T) {
	other, _ := newTestBuilder(t)
	b, err := New(other.store, Options{Jobs: 1, Memory: roomForOne(t)})
	if err != nil {
		t.Fatal(err)
	}
	release := holdTheBudget(t, b)
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY a /\nCOPY b /\n", "a": "a", "b": "b"})
	var step Event
	var result *Result
	var took float64
	built, begun := make(chan error), make(chan struct{})
	go func() {
		from := time.Now()
		var err error
		result, err = b.Build(t.Context(), Request{Context: dir, Events: func(e Event) {
			if e.Type == EventStep {
				step = e
			}
			if e.Type == EventStep && e.State == StateStarted && e.ID == "2/2" {
				close(begun)
			}
		}})
		took = time.Since(from).Seconds()
		built <- err
	}()
	<-begun
	time.Sleep(200 * time.Millisecond) // it places its files, and then waits
	from := time.Now()
	time.Sleep(500 * time.Millisecond)
	waited := time.Since(from).Seconds()
	release()
	if err := <-built; err != nil {
		t.Fatal(err)
	}
	if l := result.Layers[1]; l.Seconds <= 0 || l.Seconds > took-waited || step.Seconds > took-waited {
		t.Errorf("of %v seconds it waited %v, and the step took %v or %v", took, waited, l.Seconds, step.Seconds)
	}
	if result.Packing.Seconds <= 0 || result.Packing.Hidden > 0 {
		t.Errorf("packing is %+v, want nothing hidden", result.Packing)
	}
}

// roomForOne is a budget of memory for one layer at a time.
func roomForOne(t *testing.T) int64 {
	t.Helper()
	for memory := int64(1 << 20); ; memory += 1 << 20 {
		if (Request{Compression: compression(t, "gzip")}).CheckMemory(memory) == nil {
			return memory
		}
	}
}

// holdTheBudget has a build begin to pack a layer, which it ends after release.
func holdTheBudget(t *testing.T, b *Builder) (release func()) {
	t.Helper()
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY . /\n", "held": "x"})
	packing, goOn, built := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		// With Verify the step does not pack its layer itself, so that it keeps no slot.
		_, err := b.Build(t.Context(), Request{Context: dir, Verify: true, Events: func(e Event) {
			if e.Type == EventPack && e.State == StateStarted {
				close(packing)
				<-goOn
			}
		}})
		built <- err
	}()
	select {
	case <-packing:
	case err := <-built:
		t.Fatalf("it did not pack: %v", err)
	}
	t.Cleanup(func() {
		if err := <-built; err != nil {
			t.Error(err)
		}
	})
	return func() { close(goOn) }
}

// A file with two names is copied before the layer is packed, and read for its digest after it.
func TestAFileThatChangesUnderItsLayerLeavesNoRecord(t *testing.T) {
	b, _ := newTestBuilder(t)
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY . /\n", "a": "a", "c": "c"})
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	change := func(e Event) {
		if e.Type == EventPack && e.State == StateStarted {
			if err := os.WriteFile(filepath.Join(dir, "a"), []byte("longer"), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := b.Build(t.Context(), Request{Context: dir, Events: change}); !errors.Is(err, source.ErrChanged) {
		t.Fatalf("got %v, want that a file has changed", err)
	}
	if pruned := prune(t, b, false); pruned.Steps != 0 {
		t.Errorf("%d records are left of a step that failed", pruned.Steps)
	}
}
