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
	treetest.NeedRoot(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t, rt: rt}
		defer s.end()
		checkTrees(rt, s)
	})
}

func checkTrees(rt *rapid.T, s *scope) {
	base := treetest.Lower(s, baseTree)
	first := treetest.Mount(s, base, treetest.Options{})
	history(rt, first.Merged, "before", operations[:len(operations)-1])
	s.unmount(first)
	second := treetest.Mount(s, append([]string{first.Upper}, base...), treetest.Options{})
	history(rt, second.Merged, "step", operations)

	ctx := context.Background()
	want := treetest.Dir(s, second.Merged)
	other := treetest.Mount(s, second.Lower, treetest.Options{})
	another := treetest.Mount(s, second.Lower, treetest.Options{})
	for _, way := range []struct {
		name    string
		changes iter.Seq2[diff.Change, error]
		into    string
	}{
		{"Upper", diff.Upper(ctx, diff.UpperOptions{Upper: second.Upper, Lower: second.Lower}), other.Merged},
		{"Trees", diff.Trees(ctx, diff.TreesOptions{Old: another.Merged, New: second.Merged}), another.Merged},
	} {
		tar, err := packChanges(ctx, way.changes)
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := archive.Apply(ctx, way.into, bytes.NewReader(tar)); err != nil {
			rt.Fatalf("unpack: %v", err)
		}
		if d := cmp.Diff(lines(want), lines(treetest.Dir(s, way.into))); d != "" {
			rt.Fatalf("tree of %s (-merged +unpacked):\n%s\nlayer:\n%s", way.name, d, treetest.Tar(s, bytes.NewReader(tar)))
		}
	}
}

// TestTreesOfAnyHistoryUnpackToTheNewTree needs no overlay, so that links keep and change their partners in all ways.
func TestTreesOfAnyHistoryUnpackToTheNewTree(t *testing.T) {
	treetest.NeedRoot(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t, rt: rt}
		defer s.end()
		old := treetest.Lower(s, baseTree)[0]
		history(rt, old, "before", operations)
		into, now := copyTree(s, old), copyTree(s, old)
		history(rt, now, "step", operations)

		ctx := context.Background()
		tar, err := packChanges(ctx, diff.Trees(ctx, diff.TreesOptions{Old: old, New: now}))
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := archive.Apply(ctx, into, bytes.NewReader(tar)); err != nil {
			rt.Fatalf("unpack: %v", err)
		}
		if d := cmp.Diff(lines(treetest.Dir(s, now)), lines(treetest.Dir(s, into))); d != "" {
			rt.Fatalf("tree (-new +unpacked):\n%s\nlayer:\n%s", d, treetest.Tar(s, bytes.NewReader(tar)))
		}
	})
}

// copyTree copies a tree with its links, attributes and times.
func copyTree(s *scope, dir string) string {
	into := filepath.Join(s.TempDir(), "copy")
	if out, err := exec.Command("cp", "-a", dir, into).CombinedOutput(); err != nil {
		s.Fatalf("copy: %v\n%s", err, out)
	}
	return into
}
