package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/image-spec/identity"
)

// Comment is what lbuild writes into the history entries that it makes.
const Comment = "lbuild"

// stage is a stage while it is compiled: what its instructions have come to so far.
type stage struct {
	*compiler
	*Stage
	plan   *Plan
	stages []*stage // of the plan, those that are compiled

	config  dockerspec.DockerOCIImage // without history
	history []Entry
	cmdSet  bool     // CMD stands in this stage: ENTRYPOINT leaves it alone
	vars    []string // KEY=VALUE: what words are expanded with and RUN sees
	args    []instructions.KeyValuePairOptional

	top      *Node
	base     ImageRef
	baseNode *Node
	created  *time.Time // of the base

	number int // of the instruction that is compiled, from 1
}

// compile applies the instructions of the stage, one after the other, to what it starts from.
func (st *stage) compile() error {
	if err := st.from(); err != nil {
		return st.file.At(st.Location, st.Base.Name, err)
	}
	for i, cmd := range st.Commands {
		st.number = i + 1
		if err := st.instruction(cmd); err != nil {
			return st.file.At(cmd.Location(), "", err)
		}
	}
	return nil
}

// instruction applies one instruction.
func (st *stage) instruction(written instructions.Command) error {
	cmd, err := st.expand(written)
	if err != nil {
		return err
	}
	createdBy, ok, err := st.configure(cmd)
	if err != nil {
		return err
	}
	if ok {
		if createdBy != "" {
			st.remember(createdBy)
		}
		return nil
	}
	switch cmd := cmd.(type) {
	case *instructions.WorkdirCommand:
		return st.workdir(cmd)
	case *instructions.CopyCommand:
		return st.copy(cmd, st.source(written.(*instructions.CopyCommand)))
	case *instructions.AddCommand:
		return st.add(cmd)
	case *instructions.RunCommand:
		return st.run(cmd)
	}
	return fmt.Errorf("%s is not supported", strings.ToUpper(cmd.Name()))
}

// expand replaces the variables in an instruction. ARG does it itself, because a default may not be needed.
func (st *stage) expand(cmd instructions.Command) (instructions.Command, error) {
	if _, ok := cmd.(*instructions.ArgCommand); ok {
		return cmd, nil
	}
	cmd, _, err := st.file.Expand(cmd, shell.EnvsFromSlice(st.vars))
	return cmd, err
}

// remember adds an entry without a layer to the history.
func (st *stage) remember(createdBy string) {
	st.history = append(st.history, Entry{CreatedBy: createdBy, Node: st.top, Created: st.created})
}

// change puts an op on what the stage has come to.
func (st *stage) change(op Op, cmd instructions.Command, createdBy string, reads ...Source) {
	step := st.step(cmd)
	st.top = st.node(op, st.top, reads, st.noCache(st.Stage))
	st.addStep(st.top, &step, st.plan.options.TargetPlatform)
	st.history = append(st.history, Entry{CreatedBy: createdBy, Line: step.Line, Node: st.top, Layer: true})
}

// step is what people know an instruction by; nil stands for FROM.
func (st *stage) step(cmd instructions.Command) Step {
	s := Step{ID: fmt.Sprintf("%d/%d", st.number, len(st.Commands)), Stage: st.Name, Name: "FROM " + st.Base.Name, Location: st.Location}
	if all := st.file.Stages; len(all) > 1 || all[0].Name != "" { // the number of the only stage would say nothing
		s.ID = st.Name + " " + s.ID
	}
	if len(st.options.Platforms) > 1 {
		s.Platform = platforms.Format(st.Platform)
		s.ID = s.Platform + " " + s.ID
	}
	if cmd == nil {
		return s
	}
	s.Name, s.Location = commandName(cmd), cmd.Location()
	if len(s.Location) > 0 {
		s.Line = s.Location[0].Start.Line
	}
	return s
}

// from sets the stage up as its base left off.
func (st *stage) from() error {
	if st.Base.Kind == OnStage {
		st.inherit(st.stages[st.Base.Stage])
		return nil
	}
	st.config = emptyImage(st.Platform)
	ref, isImage := st.plan.imageRef(st.Base, st.Platform)
	switch {
	case isImage:
		if err := st.fromImage(ref, st.options.Images[ref]); err != nil {
			return err
		}
	case st.Base.Kind == OnContext:
		st.change(&Copy{Verb: "FROM", Sources: []string{"."}, Dest: "/", Epoch: st.options.Epoch, Context: true}, nil,
			"FROM "+st.Base.Name, Source{Kind: FromDirectory, Name: st.Base.Name})
	}
	if !hasVar(st.config.Config.Env, "PATH") {
		st.config.Config.Env = setVar(st.config.Config.Env, "PATH", defaultPath)
	}
	st.vars = st.config.Config.Env
	return nil
}

// inherit starts from another stage: its tree, config, history and what it declared.
func (st *stage) inherit(parent *stage) {
	st.config = cloneImage(parent.config)
	st.config.Config.OnBuild = nil // the plan has put them into this stage
	st.history = slices.Clone(parent.history)
	st.top, st.base, st.baseNode, st.created = parent.top, parent.base, parent.baseNode, parent.created
	st.vars, st.args = parent.vars, parent.args
	for _, kv := range st.config.Config.Env {
		key, value, _ := strings.Cut(kv, "=")
		st.vars = setVar(st.vars, key, value) // an ARG that hid an ENV ends with its stage
	}
}

// fromImage starts from an image.
func (st *stage) fromImage(ref ImageRef, img BaseImage) error {
	have := img.Config.Platform
	if have.OS != "" && have.OS != st.Platform.OS {
		return fmt.Errorf("%s is an image for %s, not for %s", st.Base.Name, platforms.Format(have), platforms.Format(st.Platform))
	}
	if !platforms.Only(st.Platform).Match(have) {
		st.warn(st.Location[0].Start.Line, fmt.Sprintf("%s is an image for %s, not for %s", st.Base.Name, platforms.Format(have), platforms.Format(st.Platform)))
	}
	st.base, st.created = ref, img.Config.Created
	st.baseNode = st.imageNode(ref)
	st.top = st.baseNode
	st.config = cloneImage(img.Config)
	st.config.Config.OnBuild = nil // the plan has put them into this stage
	st.config.RootFS.Type = "layers"
	for _, h := range completeHistory(img.Config) {
		st.history = append(st.history, Entry{CreatedBy: h.CreatedBy, Base: &h})
	}
	st.config.History = nil
	return nil
}

// imageNode is the node of an image that is known.
func (st *stage) imageNode(ref ImageRef) *Node {
	img := st.options.Images[ref]
	op := &Base{Image: ref, Manifest: img.Manifest, ChainID: identity.ChainID(slices.Clone(img.Config.RootFS.DiffIDs))}
	return st.node(op, nil, nil, false)
}

// completeHistory is the image's history, made to speak of as many layers as the image has: consumers pair them up one by
// one, and some tools write images with less history than layers.
func completeHistory(img dockerspec.DockerOCIImage) []ocispec.History {
	history := slices.Clone(img.History)
	n := 0
	for i := range history {
		if !history[i].EmptyLayer {
			n++
			history[i].EmptyLayer = n > len(img.RootFS.DiffIDs)
		}
	}
	for ; n < len(img.RootFS.DiffIDs); n++ {
		history = append(history, ocispec.History{Comment: "layer of the base, which has no history of it"})
	}
	return history
}

// source is what a COPY reads.
func (st *stage) source(written *instructions.CopyCommand) Source {
	if written.From == "" {
		return Source{Kind: FromContext}
	}
	from := st.Sources[written]
	if from.Kind == OnStage {
		return Source{Kind: FromNode, Node: st.stages[from.Stage].top}
	}
	if ref, ok := st.plan.imageRef(from, st.plan.options.TargetPlatform); ok {
		return Source{Kind: FromNode, Node: st.imageNode(ref)}
	}
	if from.Kind == OnContext {
		return Source{Kind: FromDirectory, Name: from.Name}
	}
	return Source{Kind: FromNode} // scratch
}
