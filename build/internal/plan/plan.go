// Package plan decides what a build does before anything is done: which stages the target needs, what each stands on
// and copies from, and which values the global arguments have. It does no I/O.
package plan

import (
	"maps"
	"slices"
	"strconv"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/buildfile"
)

// Options are the parts of a build request that shape the plan.
type Options struct {
	Target         string             // a stage's name or number; "" is the last stage
	Args           map[string]string  // --build-arg, with values taken from the environment already
	BuildPlatform  ocispec.Platform   // zero: this machine's
	TargetPlatform ocispec.Platform   // zero: the build platform; set by Compile for each of Platforms
	Platforms      []ocispec.Platform // of the images that Compile makes; none: the target platform
	Contexts       map[string]string  // of --build-context: names to directories or addresses of images

	NoCache       bool     // every step runs again
	NoCacheStages []string // those of these stages do

	Network string   // of RUN: "", "default", "host" or "none"
	Hosts   []Host   // of RUN
	ShmSize int64    // of RUN, in bytes
	Ulimits []Ulimit // of RUN, by name
	Epoch   *int64   // time of what COPY and ADD take from a context, in seconds

	Images map[ImageRef]BaseImage // that are known
}

// Plan is a graph of stages without circles.
type Plan struct {
	Stages     []Stage // the needed ones in file order; those that triggers need come after them
	Target     int     // index into Stages
	GlobalArgs map[string]string
	Warnings   []buildfile.Warning

	file    *buildfile.File
	options Options
	stages  []Stage     // all of the file; Base.Stage and Needs are numbers of this slice
	number  map[int]int // of a stage in stages to that in Stages
	names   map[string]int
	context map[string]string // normalized names of named contexts to names as given
	args    map[string]bool   // names that some ARG declares
}

// Stage is what lies between one FROM and the next.
type Stage struct {
	Index    int    // position in the file, counted from 0
	Name     string // as AS gives it in lower case, else the index
	Base     Origin
	Platform ocispec.Platform // of --platform, else the target's; a stage on a stage has that one's
	Location []parser.Range   // of FROM
	Needs    []int            // indexes into Plan.Stages of what must be done before, ascending

	// Commands begin with the ONBUILD triggers of the base. A stage that a named context replaces has none.
	Commands []instructions.Command
	// Sources says what COPY --from names, for the commands that have it.
	Sources map[*instructions.CopyCommand]Origin
}

// Kind says what an Origin is.
type Kind string

// The kinds of an Origin.
const (
	OnScratch Kind = "scratch" // nothing
	OnStage   Kind = "stage"   // Origin.Stage
	OnImage   Kind = "image"   // Origin.Name is a valid reference
	OnContext Kind = "context" // Origin.Name is a key of Options.Contexts
)

// Origin is what a stage starts from or a COPY reads.
type Origin struct {
	Kind  Kind
	Name  string // as written, with variables replaced
	Stage int    // index into Plan.Stages, if Kind is OnStage
}

// New makes the plan of a build. Its errors are *buildfile.Error.
func New(f *buildfile.File, opts Options) (*Plan, error) {
	p := &Plan{file: f, options: withPlatforms(opts), number: map[int]int{}, names: map[string]int{}}
	p.context = contextNames(opts.Contexts)
	p.args = declaredArgs(f)
	target, err := p.findTarget()
	if err != nil {
		return nil, err
	}
	if err := p.setGlobalArgs(target); err != nil {
		return nil, err
	}
	if err := p.resolveBases(); err != nil {
		return nil, err
	}
	if err := p.resolveCopies(); err != nil {
		return nil, err
	}
	if err := p.checkCircles(); err != nil {
		return nil, err
	}
	p.need(target)
	p.Target = p.number[target]
	return p, nil
}

func withPlatforms(o Options) Options {
	if o.BuildPlatform.OS == "" {
		o.BuildPlatform = platforms.DefaultSpec()
	}
	if o.TargetPlatform.OS == "" {
		o.TargetPlatform = o.BuildPlatform
	}
	o.BuildPlatform, o.TargetPlatform = platforms.Normalize(o.BuildPlatform), platforms.Normalize(o.TargetPlatform)
	if len(o.Platforms) == 0 {
		o.Platforms = []ocispec.Platform{o.TargetPlatform}
	}
	return o
}

// Unused names the build arguments that nothing declares, sorted. Predefined ones need no ARG.
func (p *Plan) Unused() []string {
	var names []string
	for name := range p.options.Args {
		if _, predefined := p.GlobalArgs[name]; !predefined && !p.args[name] && !needsNoArg(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// AddTriggers puts the ONBUILD triggers of a stage's image before the stage's own commands. Stages that only they
// need are appended to Stages, and their images may have triggers in turn. Indexes stay; Stage values read before are
// out of date. After an error the plan is of no use.
func (p *Plan) AddTriggers(stage int, cmds []instructions.Command) error {
	s := &p.stages[p.Stages[stage].Index]
	if err := p.copies(s, cmds); err != nil {
		return err
	}
	s.Commands = slices.Concat(cmds, s.Commands)
	for _, cmd := range cmds {
		noteArgs(p.args, cmd)
	}
	if err := p.checkCircles(); err != nil {
		return err
	}
	p.need(p.Stages[p.Target].Index)
	return nil
}

// need brings Stages up to date with what the stage of the given file index needs.
func (p *Plan) need(target int) {
	wanted := map[int]bool{}
	p.mark(target, wanted)
	for _, index := range slices.Sorted(maps.Keys(wanted)) {
		if _, ok := p.number[index]; !ok {
			p.number[index] = len(p.Stages)
			p.Stages = append(p.Stages, Stage{Index: index})
		}
	}
	for i := range p.Stages {
		p.Stages[i] = p.numbered(p.stages[p.Stages[i].Index])
	}
}

func (p *Plan) mark(index int, wanted map[int]bool) {
	if wanted[index] {
		return
	}
	wanted[index] = true
	for _, need := range p.stages[index].Needs {
		p.mark(need, wanted)
	}
}

// numbered gives a stage with indexes into Stages in place of those into the file.
func (p *Plan) numbered(s Stage) Stage {
	s.Base.Stage = p.number[s.Base.Stage]
	needs := make([]int, len(s.Needs))
	for i, need := range s.Needs {
		needs[i] = p.number[need]
	}
	slices.Sort(needs)
	s.Needs = needs
	sources := map[*instructions.CopyCommand]Origin{}
	for cmd, base := range s.Sources {
		base.Stage = p.number[base.Stage]
		sources[cmd] = base
	}
	s.Sources = sources
	return s
}

func stageName(s *instructions.Stage, index int) string {
	if s.Name != "" {
		return s.Name
	}
	return strconv.Itoa(index)
}
