// Package solve runs a graph: each node once, as soon as what it stands on and reads is there, on as many slots as there
// are. A node whose result is remembered does not run, and no tree is made before somebody needs it.
//
// Waiting has one order, which excludes that two wait for each other: for the nodes below and those that are read, then
// for the lock of the step, and last for a slot. Who has a slot waits for nothing else but, to pack its own layer, for room in
// the memory of packing, which needs no slot.
package solve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/once"
	"github.com/lbuild/lbuild/build/internal/op"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/snapshot"
)

// Slots bound how many steps run at once, as a semaphore does.
type Slots interface {
	Acquire(ctx context.Context, n int64) error
	Release(n int64)
}

// Build is what the build around a graph does for it.
type Build interface {
	// Unpack gives the snapshot of an image that the graph names.
	Unpack(ctx context.Context, image plan.ImageRef) (string, error)
	// Prove fails unless the layers of an image that the graph names hold what its config says of them.
	Prove(ctx context.Context, image plan.ImageRef) error
	// OpenDir opens the context, or a directory that the graph names; the build closes it.
	OpenDir(ctx context.Context, s plan.Source) (*source.Tree, error)
	// OpenTree opens a snapshot, "" is the empty tree; the build closes it.
	OpenTree(ctx context.Context, name string) (*source.Tree, error)
	// Made is told of each result, before nodes above it run, with the context of Solve. It must not wait.
	Made(ctx context.Context, n *plan.Node, r *Result)
	// LayerIsEnough tells whether a node's tree is needed by nobody, so that Pack can take its place.
	LayerIsEnough(n *plan.Node) bool
	// Pack makes the layer of a COPY in a workspace without its tree. See pack.Placed for keep; nothing is kept, and empty
	// is true, where nothing changed.
	Pack(ctx context.Context, n *plan.Node, p Placed) (empty bool, err error)
	// Apply unpacks the layer of a result that has nothing else over the tree below it, which is mounted at root.
	Apply(ctx context.Context, r *Result, root string) error
	// Fail gives an error of a node its place in the Buildfile.
	Fail(n *plan.Node, err error) error
}

// Solver runs graphs of one build.
type Solver struct {
	Store   *snapshot.Store
	Cache   *cache.Cache
	Slots   Slots
	Events  *event.Emitter
	Runtime string // of RUN
	Scratch string // a directory of the build's lease
	Build   Build
}

// Solve gives the result of every node of a graph, in the order of Graph.Nodes. A result that was counted on and cannot be
// had is forgotten, and what stands on it is solved anew, once for each.
func (s *Solver) Solve(ctx context.Context, g *plan.Graph) ([]*Result, error) {
	run := &solving{Solver: s, graph: g, above: above(g), lost: map[string]bool{}}
	known := make([]*Result, len(g.Nodes))
	for {
		results, err := run.all(ctx, known)
		lost, ok := errors.AsType[*LostError](err)
		if !ok || run.lost[lost.Result.ID] {
			return results, err
		}
		run.lost[lost.Result.ID] = true
		if err := s.forget(ctx, lost.Result); err != nil {
			return nil, err
		}
		known = without(results, lost.Result)
	}
}

// LostError says that a result is gone that a build counted on.
type LostError struct {
	Result *Result
	Err    error
}

func (e *LostError) Error() string { return e.Err.Error() }

// Unwrap gives what is gone.
func (e *LostError) Unwrap() error { return e.Err }

func (s *Solver) forget(ctx context.Context, r *Result) error {
	return s.Cache.Forget(ctx, r.key, r.Below.id(), r.ID)
}

// without leaves out a result and all that stands on it or was read from it.
func without(results []*Result, lost *Result) []*Result {
	kept := slices.Clone(results)
	for i, r := range kept {
		if r == nil {
			continue
		}
		gone := r == lost || r.Node.Below != nil && kept[r.Node.Below.ID] == nil
		for _, src := range r.Node.Reads {
			gone = gone || src.Node != nil && kept[src.Node.ID] == nil
		}
		if gone {
			kept[i] = nil
		}
	}
	return kept
}

// above lists for each node those that change its tree.
func above(g *plan.Graph) [][]*plan.Node {
	list := make([][]*plan.Node, len(g.Nodes))
	for _, n := range g.Nodes {
		if n.Below != nil {
			list[n.Below.ID] = append(list[n.Below.ID], n)
		}
	}
	return list
}

// solving is one call of Solve.
type solving struct {
	*Solver
	graph *plan.Graph
	above [][]*plan.Node
	lost  map[string]bool // ids
	nodes []*running
}

// running is a node on its way.
type running struct {
	done    chan struct{}
	result  *Result              // set when done is closed
	copyKey once.Value[plan.Key] // of a COPY from a directory: each candidate below it asks for it
}

// all solves the nodes that are not known. On an error the results are those of the nodes that were done.
func (s *solving) all(outer context.Context, known []*Result) ([]*Result, error) {
	group, ctx := errgroup.WithContext(outer)
	s.nodes = make([]*running, len(known))
	for i := range s.nodes {
		s.nodes[i] = &running{done: make(chan struct{}), result: known[i]}
	}
	for i, n := range s.graph.Nodes {
		if known[i] != nil {
			close(s.nodes[i].done)
			continue
		}
		group.Go(func() error {
			if err := s.solve(ctx, n); err != nil {
				return err
			}
			s.Build.Made(outer, n, s.nodes[i].result)
			close(s.nodes[i].done)
			return nil
		})
	}
	err := group.Wait()
	results := make([]*Result, len(known))
	for i, n := range s.nodes {
		results[i] = n.result
	}
	return results, err
}

// solve gives one node its result.
func (s *solving) solve(ctx context.Context, n *plan.Node) error {
	r, err := s.result(ctx, n)
	if err != nil {
		if _, lost := errors.AsType[*LostError](err); lost {
			return err
		}
		return s.Build.Fail(n, err)
	}
	s.nodes[n.ID].result = r
	return nil
}

// wait waits for a node; nil is the empty tree.
func (s *solving) wait(ctx context.Context, n *plan.Node) (*Result, error) {
	if n == nil {
		return nil, nil
	}
	select {
	case <-s.nodes[n.ID].done:
		return s.nodes[n.ID].result, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *solving) result(ctx context.Context, n *plan.Node) (*Result, error) {
	if base, ok := n.Op.(*plan.Base); ok {
		return s.baseResult(ctx, n, base)
	}
	reads, err := s.reads(ctx, n)
	if err != nil {
		return nil, err
	}
	below, err := s.wait(ctx, n.Below)
	if err != nil {
		return nil, err
	}
	st := &step{solving: s, node: n, below: below, reads: reads}
	switch o := n.Op.(type) {
	case *plan.Run:
		st.key, st.lock = o.Key(), string(o.Key())
		st.apply = func(ctx context.Context, root string) error { return st.run(ctx, o, root) }
	case *plan.Workdir:
		st.key, st.lock = o.Key(), string(o.Key())
		st.apply = func(_ context.Context, root string) error { return op.Workdir(o, root) }
	case *plan.Copy:
		if err := st.prepareCopy(ctx, o, reads); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("no way to run %T", o)
	}
	return st.obtain(ctx)
}

// reads gives the trees that a node reads, once those of other nodes are known.
func (s *solving) reads(ctx context.Context, n *plan.Node) ([]readable, error) {
	var list []readable
	for _, src := range n.Reads {
		r, err := s.wait(ctx, src.Node)
		if err != nil {
			return nil, err
		}
		list = append(list, readable{solving: s, source: src, result: r})
	}
	return list, nil
}
