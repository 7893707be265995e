package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/util/suggest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/buildfile"
)

// findTarget gives the file index of the stage to build.
func (p *Plan) findTarget() (int, error) {
	stages, name := p.file.Stages, p.options.Target
	if name == "" {
		return len(stages) - 1, nil
	}
	for i, stage := range slices.Backward(stages) {
		if stage.Name != "" && strings.EqualFold(stage.Name, name) {
			return i, nil
		}
	}
	if number, err := strconv.Atoi(name); err == nil && number >= 0 && number < len(stages) {
		return number, nil
	}
	return 0, &buildfile.Error{File: p.file.Name, Err: p.unknownTarget(name)}
}

func (p *Plan) unknownTarget(name string) error {
	const short = 3 // what is shorter is near to anything
	var known, likely []string
	for i := range p.file.Stages {
		stage := &p.file.Stages[i]
		known = append(known, describeStage(stage, i))
		if len(stage.Name) >= short {
			likely = append(likely, stage.Name)
		}
	}
	slices.Sort(likely)
	if near, ok := suggest.Search(name, likely, false); ok {
		return fmt.Errorf("no stage %q to build, did you mean %s?", name, near)
	}
	const most = 10
	if len(known) > most {
		known = append(known[:most:most], "…")
	}
	return fmt.Errorf("no stage %q to build, there is %s", name, strings.Join(known, ", "))
}

// describeStage is what a stage can be called, and what it is where that is a number.
func describeStage(s *instructions.Stage, index int) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("%d (FROM %s)", index, s.BaseName)
}

// resolveBases fills stages from the FROM lines. FROM sees the stages above it, the nearest one of a name.
func (p *Plan) resolveBases() error {
	for i := range p.file.Stages {
		from := &p.file.Stages[i]
		s := Stage{Index: i, Name: stageName(from, i), Location: from.Location, Commands: from.Commands}
		if err := p.resolveBase(&s, from); err != nil {
			return err
		}
		p.stages = append(p.stages, s)
		if from.Name != "" {
			p.names[from.Name] = i
		}
	}
	return nil
}

func (p *Plan) resolveBase(s *Stage, from *instructions.Stage) error {
	platform, err := p.platform(from)
	if err != nil {
		return err
	}
	name, hint, err := p.baseName(from)
	if err != nil {
		return err
	}
	s.Platform = platform
	if context, ok := p.context[normalized(from.Name)]; ok && from.Name != "" {
		s.Base, s.Commands = Origin{Kind: OnContext, Name: context}, nil
		return nil
	}
	if s.Base, err = p.base(name); err != nil {
		return p.file.At(from.Location, from.BaseName, fmt.Errorf("%w%s", err, hint))
	}
	if s.Base.Kind == OnStage {
		return p.inherit(s, from)
	}
	return nil
}

// inherit makes s a child of the stage it stands on: with its platform, and with its triggers before the own commands.
func (p *Plan) inherit(s *Stage, from *instructions.Stage) error {
	parent := &p.stages[s.Base.Stage]
	s.Needs = []int{s.Base.Stage}
	if from.Platform != "" && platforms.Format(s.Platform) != platforms.Format(parent.Platform) {
		p.Warnings = append(p.Warnings, buildfile.Warning{
			Line: from.Location[0].Start.Line,
			Text: fmt.Sprintf("platform %s is not used: stage %s is for %s",
				platforms.Format(s.Platform), parent.Name, platforms.Format(parent.Platform)),
		})
	}
	s.Platform = parent.Platform
	var texts []string
	for _, cmd := range parent.Commands { // none where a named context replaces it
		if onbuild, ok := cmd.(*instructions.OnbuildCommand); ok {
			texts = append(texts, onbuild.Expression)
		}
	}
	cmds, err := p.file.Triggers(from, "stage "+parent.Name, texts)
	if err != nil {
		return err
	}
	for _, cmd := range cmds {
		noteArgs(p.args, cmd)
	}
	s.Commands = slices.Concat(cmds, s.Commands)
	return nil
}

// base says what a name means in FROM at this point: named contexts win over stages, and those over images.
func (p *Plan) base(name string) (Origin, error) {
	if name == "scratch" {
		return Origin{Kind: OnScratch, Name: name}, nil
	}
	if context, ok := p.context[normalized(name)]; ok {
		return Origin{Kind: OnContext, Name: context}, nil
	}
	if i, ok := p.names[strings.ToLower(name)]; ok {
		return Origin{Kind: OnStage, Name: name, Stage: i}, nil
	}
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return Origin{}, fmt.Errorf("%q is no valid image name: %w", name, err)
	}
	return Origin{Kind: OnImage, Name: name}, nil
}

// baseName is the name in FROM with variables replaced, and a hint about those that had no value.
func (p *Plan) baseName(from *instructions.Stage) (name, hint string, err error) {
	expander := p.file.Expander(from.Location, variables(p.GlobalArgs))
	name, err = expander.Word(from.BaseName)
	if err != nil {
		return "", "", err
	}
	hint = p.hint(expander.Unset())
	if name == "" {
		err := fmt.Errorf("FROM %s names nothing%s", from.BaseName, hint)
		return "", "", p.file.At(from.Location, from.BaseName, err)
	}
	return name, hint, nil
}

// platform is what --platform says, else the target's.
func (p *Plan) platform(from *instructions.Stage) (ocispec.Platform, error) {
	if from.Platform == "" {
		return p.options.TargetPlatform, nil
	}
	expander := p.file.Expander(from.Location, variables(p.GlobalArgs))
	text, err := expander.Word(from.Platform)
	if err != nil {
		return ocispec.Platform{}, err
	}
	if text == "" {
		err := fmt.Errorf("--platform=%s names nothing%s", from.Platform, p.hint(expander.Unset()))
		return ocispec.Platform{}, p.file.At(from.Location, from.Platform, err)
	}
	platform, err := platforms.Parse(text)
	if err != nil {
		return ocispec.Platform{}, p.file.At(from.Location, from.Platform, fmt.Errorf("platform %q is not valid", text))
	}
	return platforms.Normalize(platform), nil
}

// hint says which variables had no value, and what was probably meant.
func (p *Plan) hint(unset []string) string {
	if len(unset) == 0 {
		return ""
	}
	text := fmt.Sprintf(": no ARG before the first FROM sets %s", unset[0])
	if near, ok := suggest.Search(unset[0], variables(p.GlobalArgs).Keys(), true); ok {
		text += fmt.Sprintf(", did you mean %s?", near)
	}
	return text
}

// resolveCopies finds what every COPY --from names. Unlike FROM it sees all stages, the last one of a name.
func (p *Plan) resolveCopies() error {
	for i := range p.stages {
		if err := p.copies(&p.stages[i], p.stages[i].Commands); err != nil {
			return err
		}
	}
	return nil
}

// copies adds the sources of cmds to a stage.
func (p *Plan) copies(s *Stage, cmds []instructions.Command) error {
	for _, cmd := range cmds {
		copying, ok := cmd.(*instructions.CopyCommand)
		if !ok || copying.From == "" {
			continue
		}
		source, err := p.source(copying)
		if err != nil {
			return p.file.At(copying.Location(), copying.From, err)
		}
		if s.Sources == nil {
			s.Sources = map[*instructions.CopyCommand]Origin{}
		}
		s.Sources[copying] = source
		if source.Kind == OnStage && !slices.Contains(s.Needs, source.Stage) {
			s.Needs = append(s.Needs, source.Stage)
		}
	}
	return nil
}

func (p *Plan) source(cmd *instructions.CopyCommand) (Origin, error) {
	plain, err := p.file.Expander(cmd.Location(), variables{}).Word(cmd.From)
	if err != nil {
		return Origin{}, err
	}
	if plain != cmd.From {
		return Origin{}, errors.New("COPY --from takes no variables: give the name to a stage with FROM … AS and copy from that")
	}
	number, err := strconv.Atoi(cmd.From)
	if _, isContext := p.context[cmd.From]; err != nil || isContext {
		return p.base(cmd.From)
	}
	if number < 0 || number >= len(p.stages) {
		return Origin{}, fmt.Errorf("no stage %d, the last one is %d", number, len(p.stages)-1)
	}
	return Origin{Kind: OnStage, Name: cmd.From, Stage: number}, nil
}

// contextNames maps the names that FROM and COPY --from may use to those given. The reserved names cannot be replaced.
func contextNames(contexts map[string]string) map[string]string {
	names := map[string]string{}
	for name := range contexts {
		if key := normalized(name); key != "scratch" && key != "context" {
			names[key] = name
		}
	}
	return names
}

// normalized makes alpine, alpine:latest and docker.io/library/alpine the same name. What is no reference can only
// be a stage's name, and those have no case.
func normalized(name string) string {
	if ref, err := reference.ParseNormalizedNamed(name); err == nil {
		return strings.TrimSuffix(reference.FamiliarString(ref), ":latest")
	}
	return strings.ToLower(name)
}
