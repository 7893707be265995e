package pack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/snapshot"
)

func TestEachCompressionOfASnapshotGivesItsWarningsOnce(t *testing.T) {
	store, ctx := newStore(t)
	name := step(ctx, t, store, "", func(root string) error {
		sparse := filepath.Join(root, "sparse")
		return errors.Join(os.WriteFile(sparse, nil, 0o644), os.Truncate(sparse, 4<<20))
	})
	var warnings []string
	b, _ := begin(t, New(store, memory, 1), Options{Warn: func(line int, text string) {
		if line != 7 {
			t.Errorf("a warning of line %d", line)
		}
		warnings = append(warnings, text)
	}})
	for _, c := range []string{"gzip", "zstd"} {
		if _, err := b.Layer(ctx, Source{ID: name, HasTree: true, Line: 7}, compression(t, c)); err != nil {
			t.Fatal(err)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `"sparse" is sparse`) {
		t.Errorf("got %q, want one that the file is sparse", warnings)
	}
}

// TestALayerIsPackedOnce packs one in a build, and takes it in later ones: also where its blob is damaged, as long as
// there is a tree.
func TestALayerIsPackedOnce(t *testing.T) {
	store, ctx := newStore(t)
	p, gzip := New(store, memory, 1), compression(t, "gzip")
	src := Source{ID: step(ctx, t, store, "", file("x")), HasTree: true, Step: "1/1"}
	layer := func(src Source, o Options) (Layer, []string, error) {
		b, told := begin(t, p, o)
		l, err := b.Layer(ctx, src, gzip)
		if err == nil {
			_, err = b.Layer(ctx, src, gzip)
		}
		return l, told(), err
	}
	packed := []string{"1/1 started", "1/1 done"}
	first, told, err := layer(src, Options{})
	if err != nil || !slices.Equal(told, packed) {
		t.Fatalf("at first: told %q, %v", told, err)
	}
	bare := Source{ID: src.ID, Step: src.Step}
	known, told, err := layer(bare, Options{})
	if err != nil || len(told) > 0 || known.Digest != first.Digest || known.Seconds != 0 {
		t.Errorf("again: told %q, layer %+v, %v", told, known, err)
	}
	epoch := time.Unix(1, 0)
	for name, o := range map[string]Options{"with an epoch": {Epoch: &epoch}, "with other whiteouts": {Whiteouts: diff.Explicit}} {
		if _, _, err := layer(bare, o); !errors.Is(err, ErrLost) {
			t.Errorf("%s: got %v, want that there is no such layer", name, err)
		}
	}
	damage(t, store, first)
	if _, _, err := layer(bare, Options{}); !errors.Is(err, ErrLost) {
		t.Errorf("damaged, without a tree: got %v, want that it is lost", err)
	}
	again, told, err := layer(src, Options{})
	if err != nil || !slices.Equal(told, packed) || again.Digest != first.Digest {
		t.Errorf("damaged: told %q, layer %+v, %v", told, again, err)
	}
}

// damage changes the bytes of a layer's blob.
func damage(t *testing.T, store *snapshot.Store, l Layer) {
	t.Helper()
	path := filepath.Join(store.Root(), "content/blobs/sha256", l.Digest.Encoded())
	if err := errors.Join(os.Remove(path), os.WriteFile(path, make([]byte, l.Size), 0o444)); err != nil {
		t.Fatal(err)
	}
}

// TestAStepThatChangesNothingHasNoLayer, and later builds know it.
func TestAStepThatChangesNothingHasNoLayer(t *testing.T) {
	store, ctx := newStore(t)
	p := New(store, memory, 1)
	below := step(ctx, t, store, "", file("x"))
	src := Source{ID: step(ctx, t, store, below, func(string) error { return nil }), HasTree: true, Step: "1/1"}
	for _, want := range [][]string{{"1/1 started", "1/1 done"}, nil} {
		b, told := begin(t, p, Options{})
		l, err := b.Layer(ctx, src, compression(t, "gzip"))
		if err != nil || l.Entries != 0 {
			t.Errorf("layer %+v, %v", l, err)
		}
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
}

// TestALayerWithoutATreeIsKeptAsItsStepSays packs a workspace that is never frozen.
func TestALayerWithoutATreeIsKeptAsItsStepSays(t *testing.T) {
	store, ctx := newStore(t)
	ws, err := store.Prepare(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ws.Discard(); err != nil {
			t.Error(err)
		}
	}()
	root, err := ws.Mount(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := file("x")(root); err != nil {
		t.Fatal(err)
	}
	dirs := ws.Dirs()
	p, gzip := New(store, memory, 1), compression(t, "gzip")
	src := Source{ID: "result", Step: "1/1", Line: 3}
	var asked []Layer
	var warned []string
	place := func(keep ...snapshot.Change) (Layer, error) {
		b, _ := begin(t, p, Options{Warn: func(_ int, text string) { warned = append(warned, text) }})
		return b.Place(ctx, src, gzip, Placed{
			Dirs: dirs, Notes: []diff.Warning{{Kind: diff.Sparse, Path: "a", Size: 9}},
			Keep: func(_ context.Context, l Layer) ([]snapshot.Change, error) {
				asked = append(asked, l)
				return keep, nil
			},
		})
	}
	thrown, err := place()
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{Digest: thrown.Digest}
	if err := store.VerifyBlob(ctx, desc); err == nil {
		t.Error("a layer that was not to be kept is there")
	}
	kept, err := place(snapshot.Record{Key: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.VerifyBlob(ctx, desc); err != nil || kept.Digest != thrown.Digest {
		t.Errorf("layer %s, want %s; %v", kept.Digest, thrown.Digest, err)
	}
	if _, err := store.Record(ctx, "mine"); err != nil {
		t.Error(err)
	}
	if len(asked) != 2 || asked[0].Waited <= 0 || len(warned) != 2 || !strings.Contains(warned[0], `"a" is sparse`) {
		t.Errorf("asked with %+v, warned %q", asked, warned)
	}
	b, told := begin(t, p, Options{})
	if l, err := b.Layer(ctx, src, gzip); err != nil || l.Digest != kept.Digest || len(told()) > 0 {
		t.Errorf("a later build has %+v, %v", l, err)
	}
}
