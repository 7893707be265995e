package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/run"
	"github.com/lbuild/lbuild/build/internal/source"
)

// exec runs a command of the Buildfile in a container on the stage's tree.
func (st *stage) exec(ctx context.Context, cmd *instructions.RunCommand) error {
	line, script := heredocs(cmd.ShellDependantCmdLine)
	args := st.commandLine(line)
	network, err := st.network(cmd)
	if err != nil {
		return err
	}
	visible := visibleArgs(st.args, st.vars)
	c := change{
		cmd:       cmd,
		name:      title(cmd),
		createdBy: "RUN " + strings.Join(append(countedArgs(visible), args...), " "),
		key: cache.NewKey("run", string(st.key), cache.List(args), scriptText(script), cache.List(st.image.Config.Env),
			cache.List(withoutProxies(st.vars)), cache.List(visible), st.image.Config.User, st.image.Config.WorkingDir,
			platforms.FormatAll(st.image.Platform), string(network), hostsText(st.s.req.Hosts)),
	}
	c.apply = func(ctx context.Context, root string) error {
		return st.runIn(ctx, root, args, network, script)
	}
	return st.change(ctx, c)
}

// runIn runs args in a container on root.
func (st *stage) runIn(ctx context.Context, root string, args []string, network run.Network, script []run.File) error {
	runtime, err := run.Find(st.s.opts.Runtime)
	if err != nil {
		return err
	}
	if err := source.MakeDir(root, st.workingDir(), nil); err != nil {
		return err
	}
	out, errs := &lines{to: &st.s.events, id: st.id(), stream: 1}, &lines{to: &st.s.events, id: st.id(), stream: 2}
	defer out.flush()
	defer errs.flush()
	err = runtime.Run(ctx, run.Command{
		Root: root, Scratch: st.s.lease.Dir(), Args: args, Env: st.runEnv(), Dir: st.workingDir(), User: st.image.Config.User,
		Network: network, Hosts: runHosts(st.s.req.Hosts), ShmSize: st.s.req.ShmSize, Files: script, Stdout: out, Stderr: errs,
	})
	var exit *run.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("RUN failed: %w", err)
	}
	return err
}

// heredocs turns the here-documents of a RUN into what is executed: the document itself as the shell's command, a
// script of its own where it begins with #!, or the whole text for the shell to read where there are several.
func heredocs(c instructions.ShellDependantCmdLine) (instructions.ShellDependantCmdLine, []run.File) {
	if len(c.Files) == 0 || len(c.CmdLine) != 1 {
		return c, nil
	}
	if parser.MustParseHeredoc(c.CmdLine[0]) == nil {
		var text strings.Builder
		text.WriteString(c.CmdLine[0])
		for _, f := range c.Files {
			text.WriteString("\n" + f.Data + f.Name)
		}
		c.CmdLine = []string{text.String()}
		return c, nil
	}
	f := c.Files[0]
	data := f.Data
	if f.Chomp {
		data = parser.ChompHeredocContent(data)
	}
	if !strings.HasPrefix(data, "#!") {
		c.CmdLine = []string{data}
		return c, nil
	}
	script := run.File{Path: "/dev/pipes/" + f.Name, Data: []byte(data)}
	c.CmdLine = []string{script.Path}
	return c, []run.File{script}
}

func scriptText(files []run.File) string {
	if len(files) == 0 {
		return ""
	}
	return string(files[0].Data)
}

// network is where a RUN may connect to. Its flag may ask for less than the request allows, not for more: whoever builds
// without a network need not trust the Buildfile.
func (st *stage) network(cmd *instructions.RunCommand) (run.Network, error) {
	allowed, flag := st.s.req.Network, instructions.GetNetwork(cmd)
	switch {
	case allowed == instructions.NetworkNone && flag == instructions.NetworkHost:
		return "", errors.New("RUN --network=host in a build with the network none")
	case allowed == instructions.NetworkNone || flag == instructions.NetworkNone:
		return run.NoNetwork, nil
	}
	return run.HostNetwork, nil
}

// proxyVars reach RUN from the build arguments without being declared, and enter no key, history or config from there.
// What an ENV sets is part of the image, whatever its name.
var proxyVars = []string{"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"}

func isProxy(name string) bool {
	return slices.Contains(proxyVars, strings.ToLower(name)) && (name == strings.ToLower(name) || name == strings.ToUpper(name))
}

func withoutProxies(vars []string) []string {
	return slices.DeleteFunc(slices.Clone(vars), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return isProxy(name)
	})
}

// runEnv is the environment of a RUN. As in docker a proxy is there in both cases, because programs look for either.
func (st *stage) runEnv() []string {
	env := slices.Clone(st.vars)
	proxies := slices.DeleteFunc(slices.Sorted(maps.Keys(st.s.argValues)), func(name string) bool { return !isProxy(name) })
	for _, as := range []func(string) string{strings.Clone, strings.ToUpper, strings.ToLower} {
		for _, name := range proxies {
			if !hasVar(env, as(name)) {
				env = append(env, as(name)+"="+st.s.argValues[name])
			}
		}
	}
	return env
}

// visibleArgs lists the ARGs that are declared and set, with the values that RUN sees, proxies left out.
func visibleArgs(args []instructions.KeyValuePairOptional, vars []string) []string {
	values := map[string]string{}
	for _, kv := range vars {
		k, v, _ := strings.Cut(kv, "=")
		values[k] = v
	}
	var list []string
	for _, arg := range args {
		value, ok := values[arg.Key]
		if !ok {
			value = arg.ValueString()
		}
		if !isProxy(arg.Key) {
			list = setVar(list, arg.Key, value)
		}
	}
	return list
}

// countedArgs is how docker shows the visible ARGs in the history, before the command: their number, then each.
func countedArgs(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	return append([]string{fmt.Sprintf("|%d", len(args))}, args...)
}

func hostsText(hosts []Host) string {
	var list []string
	for _, h := range hosts {
		list = append(list, h.Name+"="+h.IP)
	}
	return cache.List(list)
}

func runHosts(hosts []Host) []run.Host {
	var list []run.Host
	for _, h := range hosts {
		list = append(list, run.Host(h))
	}
	return list
}
