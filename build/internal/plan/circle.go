package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// checkCircles refuses stages that need each other, needed by the target or not.
func (p *Plan) checkCircles() error {
	state := make([]visit, len(p.stages))
	for i := range p.stages {
		if circle := p.walk(i, state, nil); circle != nil {
			return p.circleError(circle)
		}
	}
	return nil
}

// visit is how far the search for circles got with a stage.
type visit int

const (
	unseen visit = iota
	open         // on the path that is being searched
	closed       // has no circle
)

// walk gives the stages of a circle that can be reached from a stage, each needing the next, or nil.
func (p *Plan) walk(stage int, state []visit, path []int) []int {
	path = append(path, stage)
	switch state[stage] {
	case closed:
		return nil
	case open:
		return path[slices.Index(path, stage):]
	}
	state[stage] = open
	for _, need := range p.stages[stage].Needs {
		if circle := p.walk(need, state, path); circle != nil {
			return circle
		}
	}
	state[stage] = closed
	return nil
}

// circleError points at a COPY: FROM only looks up, so no circle is without one.
func (p *Plan) circleError(circle []int) error {
	var names []string
	for _, i := range circle {
		names = append(names, p.stages[i].Name)
	}
	err := fmt.Errorf("stages need each other: %s", strings.Join(names, " → "))
	for i, stage := range circle[:len(circle)-1] {
		if cmd := p.copyFrom(stage, circle[i+1]); cmd != nil {
			return p.file.At(cmd.Location(), cmd.From, err)
		}
	}
	return p.file.At(p.stages[circle[0]].Location, "", err)
}

// copyFrom gives the first COPY of a stage that reads another one, nil without any.
func (p *Plan) copyFrom(stage, from int) *instructions.CopyCommand {
	for _, cmd := range p.stages[stage].Commands {
		if copying, ok := cmd.(*instructions.CopyCommand); ok {
			if source, ok := p.stages[stage].Sources[copying]; ok && source.Kind == OnStage && source.Stage == from {
				return copying
			}
		}
	}
	return nil
}
