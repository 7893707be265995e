package layer_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
)

// row is one step on a real overlay mount and the layer that must come of it.
type row struct {
	name   string
	lower  []string // trees, topmost first; none: one empty lower directory
	before string   // shell script, run in the topmost lower directory
	mount  []string // mount options
	step   string   // shell script, run in the merged directory
	want   string   // entries of the layer
	warn   []string // warnings
	opts   diff.UpperOptions
	// onlyRoot says what of it only root of the machine can do.
	onlyRoot string
	// unpackLoses says what containerd's unpacker does not do; the tree that it makes is not compared then.
	unpackLoses string
}

// TestLayerHoldsWhatAStepChanged has the rows that diff/difftest has not: explicit whiteouts, warnings, marks set by hand,
// and single fields. It also packs whole trees.
func TestLayerHoldsWhatAStepChanged(t *testing.T) {
	treetest.NeedPrograms(t, "perl", "setfattr", "setcap")
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) { r.run(t) })
	}
}

func rows() []row {
	return slices.Concat(deletions, directories, files, links, metadata, kinds, mounts, foreign)
}

func (r row) run(t *testing.T) {
	trees := r.lower
	if len(trees) == 0 {
		trees = []string{""}
	}
	lower := treetest.Lower(t, trees...)
	if r.before != "" {
		treetest.Sh(t, lower[0], r.before)
	}
	o := treetest.Mount(t, lower, treetest.Options{Mount: r.mount})
	o.Sh(t, r.step)

	opts := r.opts
	opts.Upper, opts.Lower = o.Upper, o.Lower
	var warned []string
	opts.Warn = func(w diff.Warning) { warned = append(warned, w.String()) }
	tar := pack(t, opts, 1)

	if diff := cmp.Diff(lines(r.want), lines(treetest.Tar(t, bytes.NewReader(tar)))); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(r.warn, warned); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if again := pack(t, opts, 4); !bytes.Equal(tar, again) {
		t.Error("the second layer has other bytes than the first")
	}
	if r.unpackLoses == "" {
		sameTree(t, o, tar, r.mount)
		wholeTree(t, o)
	}
}

// sameTree unpacks a layer on a second mount of the same lower directories and compares it with the first one.
func sameTree(t *testing.T, o *treetest.Overlay, tar []byte, mount []string) {
	t.Helper()
	second := treetest.Mount(t, o.Lower, treetest.Options{Mount: mount})
	if _, err := archive.Apply(context.Background(), second.Merged, bytes.NewReader(tar)); err != nil {
		t.Fatalf("unpack: %v", err)
	}
	want, got := o.Look(t).String(), second.Look(t).String()
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("unpacked tree (-merged +unpacked):\n%s", diff)
	}
}

// wholeTree unpacks the whole merged tree, read as a plain one, into an empty directory and compares the two.
func wholeTree(t *testing.T, o *treetest.Overlay) {
	t.Helper()
	dir := t.TempDir()
	treetest.Make(t, dir, "")
	tar := pack(t, diff.UpperOptions{Upper: o.Merged}, 1)
	if _, err := archive.Apply(context.Background(), dir, bytes.NewReader(tar)); err != nil {
		t.Fatalf("unpack: %v", err)
	}
	want, got := treetest.Dir(t, o.Merged), treetest.Dir(t, dir)
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("whole tree (-merged +unpacked):\n%s", diff)
	}
}

// pack returns the plain tar of an upper directory.
func pack(t testing.TB, opts diff.UpperOptions, workers int) []byte {
	t.Helper()
	var buf bytes.Buffer
	ctx := context.Background()
	_, err := layer.Write(ctx, &buf, diff.Upper(ctx, opts), layer.Options{
		Compression: compress.Compression{Name: compress.None},
		Workers:     workers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func lines(s string) []string {
	if s = treetest.Text(s); s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

func zeros(n int) string { return strings.Repeat("0", n) }
