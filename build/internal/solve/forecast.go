package solve

import (
	"context"
	"fmt"

	"github.com/lbuild/lbuild/build/internal/op"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
)

// State is what will become of a node.
type State string

// The states of a node.
const (
	Known   State = "known"   // its result is remembered, or it is an image
	Runs    State = "runs"    // it has to run
	Unknown State = "unknown" // that depends on what another node makes
)

// Forecast is what a node will come to in this store.
type Forecast struct {
	Node   *plan.Node
	State  State
	Result *Result // where it is known
	// Until is the node that has to be made before more is known; only where the state is unknown.
	Until *plan.Node
}

// Forecast tells, in the order of Graph.Nodes, what Solve would do. It runs nothing, makes no tree and fetches nothing: it
// reads contexts, and trees that the store has.
func (s *Solver) Forecast(ctx context.Context, g *plan.Graph) ([]Forecast, error) {
	run := &solving{Solver: s, graph: g, above: above(g), nodes: make([]*running, len(g.Nodes))}
	for i := range run.nodes {
		run.nodes[i] = &running{done: make(chan struct{})}
	}
	list := make([]Forecast, len(g.Nodes))
	for i, n := range g.Nodes {
		f, err := run.forecast(ctx, n, list)
		if err != nil {
			return nil, s.Build.Fail(n, err)
		}
		list[i] = f
		if f.Result != nil {
			run.nodes[i].result = f.Result
			close(run.nodes[i].done)
		}
	}
	return list, nil
}

// forecast looks at one node, after those that it stands on and reads.
func (s *solving) forecast(ctx context.Context, n *plan.Node, before []Forecast) (Forecast, error) {
	if base, ok := n.Op.(*plan.Base); ok {
		r, err := s.baseResult(ctx, n, base)
		return Forecast{Node: n, State: Known, Result: r}, err
	}
	var below *Result
	if n.Below != nil {
		f := before[n.Below.ID]
		if f.State != Known {
			return Forecast{Node: n, State: f.State, Until: f.Until}, nil // on a new result nothing is remembered
		}
		below = f.Result
	}
	if n.NoCache {
		return Forecast{Node: n, State: Runs}, nil
	}
	key, until, err := s.forecastKey(ctx, n, before)
	if err != nil {
		return Forecast{}, err
	}
	if until != nil {
		return Forecast{Node: n, State: Unknown, Until: until}, nil
	}
	r, err := s.lookup(ctx, n, below, key)
	if err != nil {
		return Forecast{}, err
	}
	if r == nil {
		return Forecast{Node: n, State: Runs}, nil
	}
	return Forecast{Node: n, State: Known, Result: r}, nil
}

// forecastKey is the key of a node, or the node that has to be made before it is known.
func (s *solving) forecastKey(ctx context.Context, n *plan.Node, before []Forecast) (_ plan.Key, until *plan.Node, err error) {
	c, ok := n.Op.(*plan.Copy)
	if !ok {
		key, err := s.knownKey(ctx, n)
		return key, nil, err
	}
	from := readable{solving: s, source: n.Reads[0]}
	open := from.open
	if on := from.source.Node; on != nil {
		f := before[on.ID]
		if f.State != Known {
			return "", firstToRun(f), nil
		}
		from.result = f.Result
		ok, err := s.isReadable(ctx, c, f.Result)
		if err != nil || !ok {
			return "", on, err
		}
		open = func(ctx context.Context) (*source.Tree, error) { return s.Build.OpenTree(ctx, f.Result.ID) } // as it is here
	}
	d, err := s.content(ctx, c, from, op.Open(c, open))
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", c.Verb, err)
	}
	return c.Key(d), nil, nil
}

// firstToRun is the lowest node that has to run before a node is known.
func firstToRun(f Forecast) *plan.Node {
	if f.Until != nil {
		return f.Until
	}
	return f.Node
}

// isReadable tells whether the files that a COPY reads of a result are known without making its tree.
func (s *solving) isReadable(ctx context.Context, c *plan.Copy, r *Result) (bool, error) {
	if r.ID == "" {
		return true, nil // an image without layers
	}
	if _, ok, err := s.Cache.Content(ctx, r.ID, c.Selection()); err != nil || ok {
		return ok, err
	}
	return s.Store.Exists(ctx, r.ID)
}
