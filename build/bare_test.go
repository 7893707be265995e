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

// While the last step waits to pack its layer, the one before it is packed: nothing runs, and the step itself takes no time.
func TestAStepThatWaitsToPackItsLayerDoesNotRun(t *testing.T) {
	other, _ := newTestBuilder(t)
	b, err := New(Options{Store: other.store, Jobs: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, release, err := b.budget.room(t.Context(), turn{}, compression(t, "gzip"), 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY a /\nCOPY b /\n", "a": "a", "b": "b"})
	var step Event
	var result *Result
	var took float64
	built := make(chan error)
	go func() {
		from := time.Now()
		var err error
		result, err = b.Build(t.Context(), Request{Context: dir, Events: func(e Event) {
			if e.Type == EventStep {
				step = e
			}
		}})
		took = time.Since(from).Seconds()
		built <- err
	}()
	waitForQueue(t, b.budget, 2)
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
