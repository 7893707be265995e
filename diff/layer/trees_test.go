package layer_test

import (
	"bytes"
	"context"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/continuity/fs"
	"github.com/containerd/continuity/fs/fstest"
	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
	"pgregory.net/rapid"
)

// TestTreesPassesTheSuiteOfContinuity lets continuity make changes, unpacks their layer elsewhere, and lets continuity
// compare the trees.
func TestTreesPassesTheSuiteOfContinuity(t *testing.T) {
	treetest.NeedRoot(t)
	fstest.FSSuite(t, treesApplier{t})
}

// treesApplier keeps the tree as it was before in the context.
type treesApplier struct{ testing.TB }

type beforeKey struct{}

func (a treesApplier) TestContext(ctx context.Context) (context.Context, func(), error) {
	before, err := os.MkdirTemp("", "before-")
	return context.WithValue(ctx, beforeKey{}, before), func() { os.RemoveAll(before) }, err
}

func (a treesApplier) Apply(ctx context.Context, change fstest.Applier) (string, func(), error) {
	before := ctx.Value(beforeKey{}).(string)
	after, err := os.MkdirTemp("", "after-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(after)
	if err := fs.CopyDir(after, before); err != nil {
		return "", nil, err
	}
	if err := change.Apply(after); err != nil {
		return "", nil, err
	}
	tar, err := packChanges(ctx, diff.Trees(ctx, diff.TreesOptions{Old: before, New: after}))
	if err != nil {
		return "", nil, err
	}
	_, err = archive.Apply(ctx, before, bytes.NewReader(tar))
	return before, nil, err
}

// packChanges returns the plain tar of changes.
func packChanges(ctx context.Context, changes iter.Seq2[diff.Change, error]) ([]byte, error) {
	var buf bytes.Buffer
	_, err := layer.Write(ctx, &buf, changes, layer.Options{Compression: compress.Compression{Name: compress.None}})
	return buf.Bytes(), err
}

// TestTreesAndUpperGiveLayersOfTheSameTree runs random operations on an overlay, and compares what is mounted with what
// is below, in both ways.
func TestTreesAndUpperGiveLayersOfTheSameTree(t *testing.T) {
	setChecks(t, treesHistories)
	root := treetest.Tmpfs(t, 0)
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t, rt: rt, root: root}
		defer s.end()
		lower := treetest.Lower(s, bases[bits(rt, 2)%len(bases)]...)
		if bits(rt, 1) > 0 {
			lower = freeze(rt, s, lower, nil)
		}
		o := treetest.Mount(s, lower, treetest.Options{})
		below := treetest.Mount(s, lower, treetest.Options{})
		run(rt.Logf, o.Merged, steps(historyLength, operations).Draw(rt, "history"))
		checkSame(s, o, unpackTrees(s, below.Merged, o.Merged), treetest.Look(s, below.Merged))
	})
}

// checkSame unpacks the layer of an overlay over the tree as it was, which must give what the other way gave.
func checkSame(s *scope, o *treetest.Overlay, want, was treetest.View) {
	ctx := context.Background()
	layer, err := packChanges(ctx, diff.Upper(ctx, diff.UpperOptions{Upper: o.Upper, Lower: o.Lower}))
	if err != nil {
		s.Fatal(err)
	}
	unpacked := unpack(s, layer, was["."])
	got := unpacked.Over(was)
	// Only Trees sees that a name which was opened for writing has left the others of a lower file.
	left := func(path string, _ treetest.Seen) bool {
		_, inLayer := unpacked[path]
		_, err := os.Lstat(filepath.Join(o.Upper, path))
		return !inLayer && err == nil
	}
	got.Separate(left)
	want.Separate(left)
	if d := cmp.Diff(lines(want.String()), lines(got.String())); d != "" {
		s.Fatalf("tree (-Trees +Upper):\n%s", d)
	}
}

// TestTreesOfAnyHistoryUnpackToTheNewTree needs no overlay, so that links keep and change their partners in all ways.
func TestTreesOfAnyHistoryUnpackToTheNewTree(t *testing.T) {
	setChecks(t, treesHistories)
	root := treetest.Tmpfs(t, 0)
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t, rt: rt, root: root}
		defer s.end()
		old := treetest.Lower(s, baseTree)[0]
		run(rt.Logf, old, steps(frozenLength, operations).Draw(rt, "before"))
		now := copyTree(s, old)
		run(rt.Logf, now, steps(historyLength, operations).Draw(rt, "history"))
		unpackTrees(s, old, now)
	})
}

// unpackTrees unpacks the layer of two trees over the old one, which must give the new one.
func unpackTrees(s *scope, old, now string) treetest.View {
	ctx := context.Background()
	layer, err := packChanges(ctx, diff.Trees(ctx, diff.TreesOptions{Old: old, New: now}))
	if err != nil {
		s.Fatal(err)
	}
	was, is := treetest.Look(s, old), treetest.Look(s, now)
	got := unpack(s, layer, was["."]).Over(was)
	if d := cmp.Diff(lines(is.String()), lines(got.String())); d != "" {
		s.Fatalf("tree (-new +unpacked):\n%s\nlayer:\n%s", d, treetest.Tar(s, bytes.NewReader(layer)))
	}
	return got
}

// copyTree copies a tree with its links, attributes and times.
func copyTree(s *scope, dir string) string {
	into := filepath.Join(s.TempDir(), "copy")
	if out, err := exec.Command("cp", "-a", dir, into).CombinedOutput(); err != nil {
		s.Fatalf("copy: %v\n%s", err, out)
	}
	return into
}
