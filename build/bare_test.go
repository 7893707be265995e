package build

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

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
	prune := func(e Event) {
		if e.Type != EventStep || e.State != StateCached {
			return
		}
		pruned = true
		if _, err := b.Prune(t.Context(), true); err != nil {
			t.Error(err)
		}
	}
	result, err := b.Build(t.Context(), Request{Context: dir, Events: prune})
	if err != nil {
		t.Fatal(err)
	}
	if !pruned || len(result.Layers) != 1 {
		t.Errorf("pruned: %t; layers: %v; want one", pruned, result.Layers)
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
	report, err := b.Prune(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if report.Steps != 0 {
		t.Errorf("%d records are left of a step that failed", report.Steps)
	}
}
