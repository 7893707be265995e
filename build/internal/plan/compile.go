package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/buildfile"
)

// BaseImage is what has to be known of an image that the Buildfile names.
type BaseImage struct {
	Manifest digest.Digest
	Config   dockerspec.DockerOCIImage
}

// Compile turns stages into a graph, with an image for each of o.Platforms. Where images are needed that o.Images lacks, it
// gives those and no graph: the caller finds them and calls again, as triggers of one may need others. Errors are
// *buildfile.Error.
func Compile(f *buildfile.File, o Options) (*Graph, []Need, error) {
	c := &compiler{file: f, options: withPlatforms(o), graph: &Graph{}, nodes: map[Key]*Node{}, steps: map[string]*Node{}}
	var plans []*Plan
	for _, platform := range c.options.Platforms {
		p, err := c.plan(platform)
		if err != nil {
			return nil, nil, err
		}
		plans = append(plans, p)
	}
	if len(c.needs) > 0 {
		return nil, c.needs, nil
	}
	for _, p := range plans {
		if err := c.image(p); err != nil {
			return nil, nil, err
		}
	}
	c.warnUnused(plans[0])
	return c.graph, nil, nil
}

// compiler is one call of Compile.
type compiler struct {
	file    *buildfile.File
	options Options
	graph   *Graph
	nodes   map[Key]*Node    // by what they do and where
	steps   map[string]*Node // by the IDs of their steps
	needs   []Need
}

// plan finds the stages that a platform's image needs, with the triggers of the images that are known.
func (c *compiler) plan(platform ocispec.Platform) (*Plan, error) {
	o := c.options
	o.TargetPlatform = platform
	p, err := New(c.file, o)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(p.Stages); i++ { // triggers may add stages
		st := p.Stages[i]
		if img, ok := c.known(p, st.Base, st.Platform, st.Location); ok {
			if err := c.addTriggers(p, i, img); err != nil {
				return nil, err
			}
		}
		for cmd, from := range p.Stages[i].Sources {
			c.known(p, from, platform, cmd.Location())
		}
	}
	return p, nil
}

// known gives the image that a base names. If it has to be found first, that is noted.
func (c *compiler) known(p *Plan, b Origin, platform ocispec.Platform, loc []parser.Range) (BaseImage, bool) {
	ref, ok := p.imageRef(b, platform)
	if !ok {
		return BaseImage{}, false
	}
	img, ok := c.options.Images[ref]
	if !ok && !slices.ContainsFunc(c.needs, func(n Need) bool { return n.ImageRef == ref }) {
		c.needs = append(c.needs, Need{ref, loc, b.Name})
	}
	return img, ok
}

// imageRef is the image that a base names; ok is false where it is none.
func (p *Plan) imageRef(b Origin, platform ocispec.Platform) (_ ImageRef, ok bool) {
	name := b.Name
	switch b.Kind {
	case OnImage:
	case OnContext:
		if name = p.options.Contexts[b.Name]; !strings.Contains(name, "://") {
			return ImageRef{}, false
		}
	default:
		return ImageRef{}, false
	}
	return ImageRef{name, platforms.FormatAll(platform)}, true
}

// addTriggers puts the ONBUILD triggers of a stage's image before the stage's instructions.
func (c *compiler) addTriggers(p *Plan, i int, img BaseImage) error {
	st := &p.Stages[i]
	if len(img.Config.Config.OnBuild) == 0 {
		return nil
	}
	cmds, err := c.file.Triggers(&c.file.Stages[st.Index], "image "+st.Base.Name, img.Config.Config.OnBuild)
	if err != nil {
		return err
	}
	return p.AddTriggers(i, cmds)
}

// image compiles the stages of one platform, each after those that it needs.
func (c *compiler) image(p *Plan) error {
	for _, w := range p.Warnings {
		c.warn(w.Line, w.Text)
	}
	stages := make([]*stage, len(p.Stages))
	var compile func(i int) error
	compile = func(i int) error {
		if stages[i] != nil {
			return nil
		}
		for _, need := range p.Stages[i].Needs {
			if err := compile(need); err != nil {
				return err
			}
		}
		st := &stage{compiler: c, plan: p, stages: stages, Stage: &p.Stages[i]}
		stages[i] = st
		return st.compile()
	}
	for i := range p.Stages {
		if err := compile(i); err != nil {
			return err
		}
	}
	top := stages[p.Target]
	c.graph.Images = append(c.graph.Images, Image{
		Platform: p.options.TargetPlatform, Config: top.config, History: top.history, Top: top.top, Base: top.base, BaseNode: top.baseNode,
	})
	return nil
}

// node gives the node of an op in its place: the one that is there, or a new one.
func (c *compiler) node(op Op, below *Node, reads []Source, noCache bool) *Node {
	fields := []string{string(op.identity()), nodeID(below)}
	for _, r := range reads {
		fields = append(fields, r.identity())
	}
	key := NewKey(fields...)
	n := c.nodes[key]
	if n == nil {
		n = &Node{ID: len(c.graph.Nodes), Op: op, Below: below, Reads: reads}
		c.nodes[key], c.graph.Nodes = n, append(c.graph.Nodes, n)
	}
	n.NoCache = n.NoCache || noCache
	return n
}

// addStep makes a step one of those of a node. Of a stage for the build platform each target may have nodes of its own: then
// its ID says for which target it is.
func (c *compiler) addStep(n *Node, step *Step, target ocispec.Platform) {
	if other := c.steps[step.ID]; other != nil && other != n {
		step.ID += " for " + platforms.FormatAll(target)
	}
	c.steps[step.ID] = n
	if !slices.ContainsFunc(n.Steps, func(s Step) bool { return s.ID == step.ID }) {
		n.Steps = append(n.Steps, *step)
	}
}

// noCache tells whether the steps of a stage are to run again. A stage can be named by its number, also where it has a name.
func (c *compiler) noCache(st *Stage) bool {
	return c.options.NoCache || slices.ContainsFunc(c.options.NoCacheStages, func(name string) bool {
		return strings.EqualFold(name, st.Name) || name == strconv.Itoa(st.Index)
	})
}

func (c *compiler) warn(line int, text string) {
	w := buildfile.Warning{Line: line, Text: text}
	if !slices.Contains(c.graph.Warnings, w) { // each platform has the same ones
		c.graph.Warnings = append(c.graph.Warnings, w)
	}
}

// warnUnused tells of what was given and has no effect.
func (c *compiler) warnUnused(p *Plan) {
	for _, name := range p.Unused() {
		c.warn(0, fmt.Sprintf("build argument %s is not used", name))
	}
	for _, name := range c.options.NoCacheStages {
		if !c.hasStage(name) {
			c.warn(0, fmt.Sprintf("there is no stage %s to run without the cache", name))
		}
	}
}

func (c *compiler) hasStage(name string) bool {
	for i := range c.file.Stages {
		if stageName(&c.file.Stages[i], i) == strings.ToLower(name) || strconv.Itoa(i) == name {
			return true
		}
	}
	return false
}

// commandName is an instruction as the Buildfile has it.
func commandName(cmd instructions.Command) string {
	if s, ok := cmd.(fmt.Stringer); ok {
		return s.String()
	}
	return cmd.Name()
}
