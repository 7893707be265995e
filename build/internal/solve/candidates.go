package solve

import (
	"context"

	"github.com/lbuild/lbuild/build/internal/op"
	"github.com/lbuild/lbuild/build/internal/plan"
)

// longest chooses among the results of a node that ran several times: that on which most of what stands above is
// remembered, then the first. It looks no further than what can be known without a tree and without waiting.
func (s *solving) longest(ctx context.Context, n *plan.Node, candidates []*Result) (*Result, error) {
	best, most := candidates[0], -1
	if len(candidates) == 1 {
		return best, nil
	}
	for _, c := range candidates {
		hits, err := s.hits(ctx, n, c.ID)
		if err != nil {
			return nil, err
		}
		if hits > most {
			best, most = c, hits
		}
	}
	return best, nil
}

// hits is how many nodes in a row above a node are remembered on one of its results.
func (s *solving) hits(ctx context.Context, n *plan.Node, id string) (int, error) {
	most := 0
	for _, up := range s.above[n.ID] {
		key, err := s.knownKey(ctx, up)
		if err != nil {
			return 0, err
		}
		if key == "" || up.NoCache {
			continue
		}
		found, err := s.Cache.Lookup(ctx, key, id)
		if err != nil {
			return 0, err
		}
		for _, f := range found {
			more, err := s.hits(ctx, up, f.ID)
			if err != nil {
				return 0, err
			}
			most = max(most, 1+more)
		}
	}
	return most, nil
}

// knownKey is the key of a node; "" where that needs a tree or another node.
func (s *solving) knownKey(ctx context.Context, n *plan.Node) (plan.Key, error) {
	switch o := n.Op.(type) {
	case *plan.Run:
		return o.Key(), nil
	case *plan.Workdir:
		return o.Key(), nil
	case *plan.Copy:
		return s.knownCopyKey(ctx, n, o)
	}
	return "", nil
}

func (s *solving) knownCopyKey(ctx context.Context, n *plan.Node, c *plan.Copy) (plan.Key, error) {
	src := n.Reads[0]
	if src.Kind != plan.FromNode {
		return s.nodes[n.ID].copyKey.Get(func() (plan.Key, error) {
			d, err := op.Open(c, readable{solving: s, source: src}.open).Digest(ctx)
			if err != nil {
				return "", nil //nolint:nilerr // the node itself will say so
			}
			return c.Key(d), nil
		})
	}
	if src.Node == nil {
		return "", nil
	}
	select {
	case <-s.nodes[src.Node.ID].done:
	default:
		return "", nil
	}
	d, ok, err := s.Cache.Content(ctx, s.nodes[src.Node.ID].result.id(), c.Selection())
	if err != nil || !ok {
		return "", err
	}
	return c.Key(d), nil
}
