package build

import (
	"context"
	"fmt"

	"github.com/containerd/platforms"

	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/solve"
)

// Plan is what a build would do: its graph, with what the store has of it. Its JSON form is what "lbuild plan" prints.
type Plan struct {
	Nodes  []PlannedNode  `json:"nodes"`  // each after those that it stands on and reads
	Images []PlannedImage `json:"images"` // one for each platform
}

// PlannedNode is an image that is read, or a step. A step that stands at several places is one node.
type PlannedNode struct {
	ID    int           `json:"id"`              // index in Plan.Nodes
	Op    string        `json:"op"`              // base, run, copy or workdir
	Image string        `json:"image,omitempty"` // of a base: its reference or address
	Steps []PlannedStep `json:"steps,omitempty"`
	Below *int          `json:"below,omitempty"` // the node whose tree it changes; none: the empty tree
	Reads []PlannedRead `json:"reads,omitempty"`

	// State is "cached" for what the store knows the result of, "runs", or "unknown" where that depends on another node.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"` // why it is unknown
	Result string `json:"result,omitempty"` // id, where it is known; of a base the chain-id of its layers
}

// PlannedStep is an instruction.
type PlannedStep struct {
	ID       string `json:"id"`
	Stage    string `json:"stage"`
	Platform string `json:"platform,omitempty"`
	Line     int    `json:"line,omitempty"`
	Name     string `json:"name"`
}

// PlannedRead is a tree that a node reads.
type PlannedRead struct {
	Kind string `json:"kind"`           // context, directory or node
	Name string `json:"name,omitempty"` // of a named context
	Node *int   `json:"node,omitempty"` // none: the empty tree
}

// PlannedImage is an image that would be made.
type PlannedImage struct {
	Platform string `json:"platform"`
	Top      *int   `json:"top,omitempty"` // the node whose tree it has; none: the empty tree
}

// Plan says what Build would do with req. It finds the images that the Buildfile names and reads contexts; it runs nothing,
// fetches no layer and writes no output.
func (b *Builder) Plan(ctx context.Context, req Request) (_ *Plan, err error) {
	s, ctx, err := b.open(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = s.end(ctx, err) }()

	if err := s.parse(); err != nil {
		return nil, err
	}
	if err := s.compile(ctx); err != nil {
		return nil, err
	}
	forecast, err := s.solver(&solveBuild{session: s}).Forecast(ctx, s.graph)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	for _, f := range forecast {
		n := plannedNode(f)
		if f.Until != nil {
			n.Reason = unknownUntil(forecast[f.Until.ID])
		}
		p.Nodes = append(p.Nodes, n)
	}
	for _, img := range s.graph.Images {
		p.Images = append(p.Images, PlannedImage{platforms.Format(img.Platform), nodeID(img.Top)})
	}
	return p, nil
}

func plannedNode(f solve.Forecast) PlannedNode {
	n := PlannedNode{ID: f.Node.ID, Below: nodeID(f.Node.Below), State: plannedState(f.State)}
	switch op := f.Node.Op.(type) {
	case *plan.Base:
		n.Op, n.Image = "base", op.Image.Name
	case *plan.Run:
		n.Op = "run"
	case *plan.Copy:
		n.Op = "copy"
	case *plan.Workdir:
		n.Op = "workdir"
	}
	for _, s := range f.Node.Steps {
		n.Steps = append(n.Steps, PlannedStep{s.ID, s.Stage, s.Platform, s.Line, s.Name})
	}
	for _, r := range f.Node.Reads {
		n.Reads = append(n.Reads, PlannedRead{string(r.Kind), r.Name, nodeID(r.Node)})
	}
	if f.Result != nil {
		n.Result = f.Result.ID
	}
	return n
}

func plannedState(s solve.State) string {
	if s == solve.Known {
		return string(StateCached)
	}
	return string(s)
}

// unknownUntil says what has to happen to a node before more is known of others.
func unknownUntil(f solve.Forecast) string {
	base, ok := f.Node.Op.(*plan.Base)
	switch {
	case ok:
		return fmt.Sprintf("unknown until %s is unpacked", base.Image.Name)
	case f.State == solve.Runs:
		return fmt.Sprintf("unknown until line %d has run", f.Node.Line())
	}
	return fmt.Sprintf("unknown until the layer of line %d is unpacked", f.Node.Line())
}

func nodeID(n *plan.Node) *int {
	if n == nil {
		return nil
	}
	return &n.ID
}
