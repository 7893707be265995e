package pack

import (
	"strings"
	"testing"

	"github.com/lbuild/lbuild/diff/layer"
	"github.com/lbuild/lbuild/snapshot"
)

func TestVerifyRefusesTheLayerOfAnotherStep(t *testing.T) {
	store, ctx := newStore(t)
	b, _ := begin(t, New(store, memory, 1), Options{Verify: true})
	var dirs []snapshot.Dirs
	var layers []layer.Result
	below := ""
	for _, text := range []string{"one\n", "two\n"} {
		below = step(ctx, t, store, below, file(text))
		d, err := store.Dirs(ctx, below)
		if err != nil {
			t.Fatal(err)
		}
		l, err := b.Layer(ctx, Source{ID: below, HasTree: true}, compression(t, "gzip"))
		if err != nil {
			t.Fatal(err)
		}
		dirs, layers = append(dirs, d), append(layers, l.Result)
	}
	if err := b.verify(ctx, dirs[1], layers[1]); err != nil {
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
		if err := b.verify(ctx, dirs[1], test.layer); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want %s…", name, err, test.want)
		}
	}
}
