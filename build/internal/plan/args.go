package plan

import (
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/lbuild/lbuild/build/buildfile"
)

// variables is a set of values that the shell lexer can read.
type variables map[string]string

// Get is shell.EnvGetter's.
func (v variables) Get(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

// Keys is shell.EnvGetter's.
func (v variables) Keys() []string {
	var names []string
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// predefined are the arguments that FROM sees without any ARG.
func predefined(o Options, targetStage string) variables {
	build, target := o.BuildPlatform, o.TargetPlatform
	return variables{
		"BUILDPLATFORM":   platforms.Format(build),
		"BUILDOS":         build.OS,
		"BUILDOSVERSION":  build.OSVersion,
		"BUILDARCH":       build.Architecture,
		"BUILDVARIANT":    build.Variant,
		"TARGETPLATFORM":  platforms.FormatAll(target),
		"TARGETOS":        target.OS,
		"TARGETOSVERSION": target.OSVersion,
		"TARGETARCH":      target.Architecture,
		"TARGETVARIANT":   target.Variant,
		"TARGETSTAGE":     targetStage,
	}
}

// setGlobalArgs gives values to the arguments before the first FROM, in file order: each sees those before it.
func (p *Plan) setGlobalArgs(target int) error {
	stage := p.options.Target
	if stage == "" {
		stage = p.file.Stages[target].Name
	}
	if stage == "" {
		stage = "default"
	}
	values := predefined(p.options, stage)
	for name := range values {
		if given, ok := p.options.Args[name]; ok {
			values[name] = given
		}
	}
	p.GlobalArgs = values
	for i := range p.file.Args {
		if err := p.setArgs(&p.file.Args[i], values); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) setArgs(cmd *instructions.ArgCommand, values variables) error {
	expander := p.file.Expander(cmd.Location(), values)
	for _, arg := range cmd.Args {
		if given, ok := p.options.Args[arg.Key]; ok {
			values[arg.Key] = given
			continue
		}
		if arg.Value == nil {
			continue
		}
		value, err := expander.Word(*arg.Value)
		if err != nil {
			return err
		}
		values[arg.Key] = value
	}
	return nil
}

func declaredArgs(f *buildfile.File) map[string]bool {
	names := map[string]bool{}
	for i := range f.Args {
		noteArgs(names, &f.Args[i])
	}
	for _, stage := range f.Stages {
		for _, cmd := range stage.Commands {
			noteArgs(names, cmd)
		}
	}
	return names
}

func noteArgs(names map[string]bool, cmd instructions.Command) {
	if arg, ok := cmd.(*instructions.ArgCommand); ok {
		for _, a := range arg.Args {
			names[a.Key] = true
		}
	}
}

// needsNoArg says whether a build argument has an effect without an ARG.
func needsNoArg(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH":
		return true
	}
	return strings.HasPrefix(name, "BUILDKIT_")
}
