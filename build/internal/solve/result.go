package solve

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/once"
	"github.com/lbuild/lbuild/build/internal/plan"
)

// Result is what a node made: a tree, a layer or both. Nil stands for the empty tree.
type Result struct {
	cache.Result
	Node   *plan.Node
	Below  *Result
	Cached bool // this build did not run the step

	key  plan.Key
	make func(context.Context) (string, error) // the tree
	tree once.Value[string]
}

// id is what others remember a result by.
func (r *Result) id() string {
	if r == nil {
		return ""
	}
	return r.ID
}

// recordKey is the key of the result's record; "" for an image, which has none.
func (r *Result) recordKey() string {
	if r.key == "" {
		return ""
	}
	return cache.RecordKey(r.key, r.Below.id(), r.ID)
}

// Tree gives the snapshot of the tree, "" for the empty one. It is unpacked when it is first asked for, where all that
// there is of it is layers.
func (r *Result) Tree(ctx context.Context) (string, error) {
	if r == nil {
		return "", nil
	}
	return r.tree.Get(func() (string, error) { return r.make(ctx) })
}

// newResult completes a result of a step.
func (s *solving) newResult(n *plan.Node, below *Result, key plan.Key, found cache.Result, cached bool) *Result {
	r := &Result{Result: found, Node: n, Below: below, Cached: cached, key: key}
	r.make = func(ctx context.Context) (string, error) {
		if r.HasTree() {
			return r.ID, nil
		}
		return r.ID, s.unpack(ctx, r)
	}
	return r
}

// lookup gives the result of a step that is remembered; nil: there is none.
func (s *solving) lookup(ctx context.Context, n *plan.Node, below *Result, key plan.Key) (*Result, error) {
	found, err := s.Cache.Lookup(ctx, key, below.id())
	if err != nil || len(found) == 0 {
		return nil, err
	}
	var candidates []*Result
	for _, f := range found {
		candidates = append(candidates, s.newResult(n, below, key, f, true))
	}
	return s.longest(ctx, n, candidates)
}

// baseResult is the result of an image. Where a build of this store made the same stack of layers, what was made on that
// is found, too.
func (s *solving) baseResult(ctx context.Context, n *plan.Node, base *plan.Base) (*Result, error) {
	r := &Result{Result: cache.Result{ID: string(base.ChainID)}, Node: n, Cached: true}
	r.make = func(ctx context.Context) (string, error) { return s.Build.Unpack(ctx, base.Image) }
	if base.ChainID == "" {
		return r, nil
	}
	made, ok, err := s.Cache.Chain(ctx, base.ChainID)
	if err != nil || !ok || made.Clamped {
		return r, err
	}
	other := &Result{Result: cache.Result{ID: made.Result}, Node: n, Cached: true}
	// The chain-id is the image's claim: a tree is given only to who has its layers.
	other.make = func(ctx context.Context) (string, error) { return other.ID, s.Build.Prove(ctx, base.Image) }
	unpacked, err := s.Store.Exists(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if unpacked {
		return s.longest(ctx, n, []*Result{r, other})
	}
	return s.longest(ctx, n, []*Result{other, r})
}

// unpack makes the tree of a result that has only a layer. Another process may do so at the same time: trees of one name
// are the same.
func (s *solving) unpack(ctx context.Context, r *Result) error {
	below, err := r.Below.Tree(ctx)
	if err != nil {
		return err
	}
	ws, err := s.Store.Prepare(ctx, below)
	if err != nil {
		return err
	}
	defer func() { _ = ws.Discard() }() // after Commit there is nothing to discard; after an error that one counts
	root, err := ws.Mount(ctx)
	if err != nil {
		return err
	}
	if err := s.Build.Apply(ctx, r, root); err != nil {
		err = fmt.Errorf("unpack the layer of a cached step: %w", err)
		if isLost(err) {
			return &LostError{r, err}
		}
		return err
	}
	whole := r.Result
	whole.Encoding = ""
	record, err := cache.Record(r.key, r.Below.id(), whole)
	if err != nil {
		return err
	}
	err = ws.Commit(ctx, r.ID, record)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// isLost tells whether an error means that bytes are gone or wrong.
func isLost(err error) bool {
	return errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, errdefs.ErrDataLoss)
}
