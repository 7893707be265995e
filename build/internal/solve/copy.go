package solve

import (
	"context"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/lbuild/lbuild/build/internal/op"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/snapshot"
)

// readable is a tree that a node reads.
type readable struct {
	*solving
	source plan.Source
	result *Result // of source.Node
}

// open opens the tree, which is made for that if need be.
func (r readable) open(ctx context.Context) (*source.Tree, error) {
	if r.source.Kind != plan.FromNode {
		return r.Build.OpenDir(ctx, r.source)
	}
	name, err := r.result.Tree(ctx)
	if err != nil {
		return nil, err
	}
	return r.Build.OpenTree(ctx, name)
}

// Placed is a COPY on its way into a layer without a tree.
type Placed struct {
	ID      string // of the result
	Dirs    snapshot.Dirs
	Changes func(iter.Seq2[diff.Change, error]) iter.Seq2[diff.Change, error]
	Notes   []diff.Warning
	Keep    func(context.Context, Layer) ([]snapshot.Change, error)
}

// Layer is what Placed.Keep has to know of the layer that was packed.
type Layer struct {
	Blob     digest.Digest
	Encoding string
	Record   string        // key
	Waited   time.Duration // for its turn
}

// prepareCopy readies a step that copies files. Its key has their content: it is found by reading them, or remembered for
// files of a tree that never changes.
func (st *step) prepareCopy(ctx context.Context, c *plan.Copy, reads []readable) error {
	if err := source.CheckMode(c.Mode); err != nil {
		return err
	}
	from := reads[0]
	files := op.Open(c, from.open)
	st.text = c.Text(st.below.id())
	st.lock = string(st.text)
	st.apply = files.Copy
	content := func(ctx context.Context) (digest.Digest, error) { return st.content(ctx, c, from, files) }
	st.findKey = func(ctx context.Context) error {
		d, err := content(ctx)
		if err == nil {
			st.key = c.Key(d)
		}
		return err
	}
	if !st.Build.LayerIsEnough(st.node) {
		return st.findKey(ctx)
	}
	st.place = func(ctx context.Context, root string) (*source.Placed, error) {
		if ok, err := files.CanPlace(ctx); err != nil || !ok {
			return nil, err
		}
		return files.Place(ctx, root)
	}
	return st.chooseKey(ctx, files)
}

// chooseKey finds the key, but where the files are read for the layer anyway and no record of the step can exist: then
// their digest needs no pass of its own.
func (st *step) chooseKey(ctx context.Context, files *op.Files) error {
	seen, err := st.Cache.Seen(ctx, st.text)
	if err != nil {
		return err
	}
	if !seen || st.node.NoCache {
		if ok, err := files.CanPlace(ctx); err != nil || ok {
			return err
		}
	}
	return st.findKey(ctx)
}

// content is the digest of what is copied. Files of a result never change, so their digest is remembered, and a step that
// is known needs no look at them.
func (s *solving) content(ctx context.Context, c *plan.Copy, from readable, files *op.Files) (digest.Digest, error) {
	id := from.result.id()
	if id == "" {
		return files.Digest(ctx)
	}
	if d, ok, err := s.Cache.Content(ctx, id, c.Selection()); err != nil || ok {
		return d, err
	}
	d, err := files.Digest(ctx)
	if err != nil {
		return "", err
	}
	return d, s.Cache.KeepContent(ctx, id, from.result.recordKey(), c.Selection(), d)
}
