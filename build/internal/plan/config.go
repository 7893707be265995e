package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/sys/signal"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// defaultPath is what docker gives an image that sets no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// defaultShell runs the shell form of RUN, CMD and ENTRYPOINT where no SHELL is set.
var defaultShell = []string{"/bin/sh", "-c"}

// configure applies an instruction that only changes the image's config, and gives its line in the history, "" for
// none. ok is false for instructions that change files.
func (st *stage) configure(cmd instructions.Command) (createdBy string, ok bool, err error) {
	c := &st.config.Config
	switch cmd := cmd.(type) {
	case *instructions.ArgCommand:
		createdBy, err = st.declare(cmd)
	case *instructions.EnvCommand:
		createdBy = st.setEnv(cmd)
	case *instructions.LabelCommand:
		createdBy = setLabels(c, cmd.Labels)
	case *instructions.MaintainerCommand:
		st.config.Author = cmd.Maintainer
		createdBy = "MAINTAINER " + cmd.Maintainer
	case *instructions.CmdCommand:
		c.Cmd, st.cmdSet = st.commandLine(cmd.ShellDependantCmdLine), true
		createdBy = fmt.Sprintf("CMD %q", c.Cmd)
	case *instructions.EntrypointCommand:
		c.Entrypoint = st.commandLine(cmd.ShellDependantCmdLine)
		if !st.cmdSet {
			c.Cmd = nil // the base's arguments were for the base's entry point
		}
		createdBy = fmt.Sprintf("ENTRYPOINT %q", c.Entrypoint)
	case *instructions.ExposeCommand:
		createdBy, err = st.expose(cmd)
	case *instructions.HealthCheckCommand:
		c.Healthcheck = cmd.Health
		createdBy = fmt.Sprintf("HEALTHCHECK %+v", *cmd.Health)
	case *instructions.OnbuildCommand:
		c.OnBuild = append(slices.Clip(c.OnBuild), cmd.Expression) // as in docker without a line in the history
	case *instructions.ShellCommand:
		c.Shell = cmd.Shell
		createdBy = fmt.Sprintf("SHELL %v", cmd.Shell)
	case *instructions.StopSignalCommand:
		_, err = signal.ParseSignal(cmd.Signal)
		c.StopSignal = cmd.Signal
		createdBy = "STOPSIGNAL " + cmd.Signal
	case *instructions.UserCommand:
		c.User = cmd.User
		createdBy = "USER " + cmd.User
	case *instructions.VolumeCommand:
		createdBy, err = setVolumes(c, cmd.Volumes)
	default:
		return "", false, nil
	}
	return createdBy, true, err
}

// declare makes ARGs visible to what follows. A value given to the build wins over the default; without either, the
// value of an ARG before the first FROM counts.
func (st *stage) declare(cmd *instructions.ArgCommand) (string, error) {
	list := []string{"ARG"}
	for _, arg := range cmd.Args {
		value, ok := st.options.Args[arg.Key]
		switch {
		case ok:
		case arg.Value != nil:
			var err error
			words := st.file.Expander(cmd.Location(), shell.EnvsFromSlice(st.vars)) // with those before it in the line
			if value, err = words.Word(*arg.Value); err != nil {
				return "", err
			}
			ok = true
		default:
			value, ok = st.plan.GlobalArgs[arg.Key]
		}
		word := arg.Key
		arg.Value = nil
		if ok {
			arg.Value = &value
			st.vars = setVar(st.vars, arg.Key, value)
			word += "=" + value
		}
		if isProxy(arg.Key) {
			word = arg.Key // its value belongs to where the build runs, not to the image
		}
		st.args = append(slices.Clip(st.args), arg) // a copy: the file keeps its own
		list = append(list, word)
	}
	return strings.Join(list, " "), nil
}

func (st *stage) setEnv(cmd *instructions.EnvCommand) string {
	words := []string{"ENV"}
	for _, kv := range cmd.Env {
		st.vars = setVar(st.vars, kv.Key, kv.Value)
		st.config.Config.Env = setVar(st.config.Config.Env, kv.Key, kv.Value)
		words = append(words, kv.String())
	}
	return strings.Join(words, " ")
}

func setLabels(c *dockerspec.DockerOCIImageConfig, labels instructions.KeyValuePairs) string {
	words := []string{"LABEL"}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	for _, kv := range labels {
		c.Labels[kv.Key] = kv.Value
		words = append(words, kv.String())
	}
	return strings.Join(words, " ")
}

func setVolumes(c *dockerspec.DockerOCIImageConfig, volumes []string) (string, error) {
	if c.Volumes == nil {
		c.Volumes = map[string]struct{}{}
	}
	for _, v := range volumes {
		if v == "" {
			return "", fmt.Errorf("the name of a volume is empty")
		}
		c.Volumes[v] = struct{}{}
	}
	return fmt.Sprintf("VOLUME %v", volumes), nil
}

// commandLine is a CMD, ENTRYPOINT or RUN as it is executed, with the shell where it has shell form.
func (st *stage) commandLine(c instructions.ShellDependantCmdLine) []string {
	if !c.PrependShell {
		return c.CmdLine
	}
	sh := st.config.Config.Shell
	if len(sh) == 0 {
		sh = defaultShell
	}
	return append(slices.Clone(sh), strings.Join(c.CmdLine, " "))
}

// setVar sets key in a list of key=value, in place where the list has it. The list given is not changed.
func setVar(vars []string, key, value string) []string {
	vars = slices.Clone(vars)
	kv := key + "=" + value
	for i, v := range vars {
		if k, _, _ := strings.Cut(v, "="); k == key {
			vars[i] = kv
			return vars
		}
	}
	return append(vars, kv)
}

func hasVar(vars []string, key string) bool {
	return slices.ContainsFunc(vars, func(kv string) bool { return strings.HasPrefix(kv, key+"=") })
}

// cloneImage copies all that a stage may change of the image it starts from.
func cloneImage(img dockerspec.DockerOCIImage) dockerspec.DockerOCIImage {
	c := &img.Config
	c.Env, c.Cmd, c.Entrypoint = slices.Clone(c.Env), slices.Clone(c.Cmd), slices.Clone(c.Entrypoint)
	c.OnBuild, c.Shell = slices.Clone(c.OnBuild), slices.Clone(c.Shell)
	c.Labels, c.Volumes, c.ExposedPorts = maps.Clone(c.Labels), maps.Clone(c.Volumes), maps.Clone(c.ExposedPorts)
	img.History = slices.Clone(img.History)
	img.RootFS.DiffIDs = slices.Clone(img.RootFS.DiffIDs)
	return img
}

// emptyImage is what FROM scratch starts from.
func emptyImage(p ocispec.Platform) dockerspec.DockerOCIImage {
	var img dockerspec.DockerOCIImage
	img.Platform = p
	img.RootFS.Type = "layers"
	img.Config.WorkingDir = "/"
	return img
}
