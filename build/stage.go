package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
)

// stage is a stage while it runs. Only its own goroutine touches it until done is closed; after that nobody changes it.
type stage struct {
	s *session
	*plan.Stage
	done chan struct{}

	image  dockerspec.DockerOCIImage // config and history so far
	cmdSet bool                      // CMD stands in this stage: ENTRYPOINT leaves it alone
	vars   []string                  // key=value: what words are expanded with and RUN sees
	args   []instructions.KeyValuePairOptional

	key      cache.Key // of the last step
	snapshot string    // of the last step; "": an empty tree
	base     *baseImage
	made     []madeStep // that may have a layer, oldest first; with those of the stages below
	created  *time.Time // of the last step or of the base

	packed bool // the target has this stage's layers
	step   int  // the instruction that runs, from 1
}

// madeStep is a step of a stage that changed the tree, or tried to.
type madeStep struct {
	cache.Step
	id      string
	line    int
	history int // index of its entry in the image's history
	cached  bool
	bare    *bareTree // while it is packed; nil: the tree is the snapshot
}

// run runs all stages of the plan, each as soon as those that it needs are done, and returns the target's.
func (s *session) run(ctx context.Context) (*stage, error) {
	group, ctx := errgroup.WithContext(ctx)
	s.group = group
	stages := make([]*stage, len(s.plan.Stages))
	for i := range stages {
		stages[i] = &stage{s: s, Stage: &s.plan.Stages[i], done: make(chan struct{})}
	}
	s.stages = stages
	s.markPacked()
	for _, st := range stages {
		group.Go(func() error { return st.run(ctx) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return stages[s.plan.Target], nil
}

// markPacked marks the target and the stages it is built on: only their layers are packed, and only for an image.
func (s *session) markPacked() {
	if !s.wantsImage() {
		return
	}
	for i := s.plan.Target; ; i = s.plan.Stages[i].Base.Stage {
		s.stages[i].packed = true
		if s.plan.Stages[i].Base.Kind != plan.OnStage {
			return
		}
	}
}

// run waits for the stages that this one needs, then runs its instructions one after the other.
func (st *stage) run(ctx context.Context) error {
	for _, i := range st.Needs {
		select {
		case <-st.s.stages[i].done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := st.from(ctx); err != nil {
		return st.s.file.At(st.Location, st.Base.Name, err)
	}
	for i, cmd := range st.Commands {
		st.step = i + 1
		if err := st.do(ctx, cmd); err != nil {
			return st.at(cmd, err)
		}
	}
	close(st.done)
	return nil
}

// do applies one instruction.
func (st *stage) do(ctx context.Context, cmd instructions.Command) error {
	written := cmd
	cmd, err := st.expand(cmd)
	if err != nil {
		return err
	}
	createdBy, ok, err := st.configure(cmd)
	if err != nil {
		return err
	}
	if ok && createdBy != "" {
		st.remember(createdBy)
	}
	if ok {
		return nil
	}
	switch cmd := cmd.(type) {
	case *instructions.WorkdirCommand:
		return st.workdir(ctx, cmd)
	case *instructions.CopyCommand:
		return st.copy(ctx, cmd, written.(*instructions.CopyCommand))
	case *instructions.AddCommand:
		return st.add(ctx, cmd)
	case *instructions.RunCommand:
		return st.exec(ctx, cmd)
	}
	return fmt.Errorf("%s is not supported", strings.ToUpper(cmd.Name()))
}

// expand replaces the variables in an instruction. ARG does it itself, because a default may not be needed.
func (st *stage) expand(cmd instructions.Command) (instructions.Command, error) {
	if _, ok := cmd.(*instructions.ArgCommand); ok {
		return cmd, nil
	}
	cmd, _, err := st.s.file.Expand(cmd, shell.EnvsFromSlice(st.vars))
	return cmd, err
}

// remember adds an entry without a layer to the history.
func (st *stage) remember(createdBy string) {
	st.image.History = append(st.image.History, ocispec.History{CreatedBy: createdBy, Comment: comment, EmptyLayer: true, Created: st.created})
}

// id names the step that runs, for events. The number of the only stage would say nothing.
func (st *stage) id() string {
	place := fmt.Sprintf("%d/%d", st.step, len(st.Commands))
	if all := st.s.file.Stages; len(all) == 1 && all[0].Name == "" {
		return place
	}
	return st.Name + " " + place
}

// at gives an error its place in the Buildfile, with the caret under the source that it is about.
func (st *stage) at(cmd instructions.Command, err error) error {
	word := ""
	var src *source.Error
	if errors.As(err, &src) {
		word = src.Source
	}
	return st.s.file.At(cmd.Location(), word, err)
}
