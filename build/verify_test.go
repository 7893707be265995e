package build

import (
	"context"
	"strings"
	"testing"

	"github.com/opencontainers/image-spec/identity"

	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/snapshot"
)

// verifiedSteps builds two steps with --verify, and returns for each its directories and its layer.
func verifiedSteps(ctx context.Context, t *testing.T, b *Builder) (dirs []snapshot.Dirs, layers []layer.Result) {
	t.Helper()
	result, err := b.Build(ctx, Request{
		Context: t.TempDir(), Buildfile: "Buildfile", Verify: true,
		BuildfileText: []byte("FROM scratch\nCOPY <<a /\none\na\nCOPY <<a /\ntwo\na\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range result.Layers {
		name, ok, err := b.cache.Chain(ctx, identity.ChainID(diffIDs(result.Layers[:i+1])))
		if err != nil || !ok {
			t.Fatalf("snapshot of layer %d: %v, %v", i, ok, err)
		}
		d, err := b.store.Dirs(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, d)
		layers = append(layers, layer.Result{Digest: l.Digest, Size: l.Size, DiffID: l.DiffID, Entries: 1})
	}
	return dirs, layers
}

func TestVerifyRefusesTheLayerOfAnotherStep(t *testing.T) {
	b, ctx := newTestBuilder(t)
	dirs, layers := verifiedSteps(ctx, t, b)
	s, ctx, err := b.open(ctx, Request{Context: t.TempDir(), BuildfileText: []byte("FROM scratch\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.verify(ctx, dirs[1], layers[1]); err != nil {
		t.Errorf("the step's own layer: %v", err)
	}
	wrong := layers[1]
	wrong.DiffID = layers[0].DiffID
	none := layers[1]
	none.Entries = 0
	for name, test := range map[string]struct {
		layer layer.Result
		want  string
	}{
		"that of the step before": {layers[0], `verify "a": its content differs`},
		"none":                    {none, `verify "a": its content differs`},
		"another diff-id":         {wrong, "its diff-id is "},
	} {
		if err := s.verify(ctx, dirs[1], test.layer); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want %s…", name, err, test.want)
		}
	}
}
