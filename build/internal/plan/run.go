package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func (st *stage) run(cmd *instructions.RunCommand) error {
	line, scripts := heredocs(cmd.ShellDependantCmdLine)
	args := st.commandLine(line)
	network, offline, err := st.network(cmd)
	if err != nil {
		return err
	}
	o := st.options
	op := &Run{
		Args: args, Scripts: scripts, Env: slices.Clone(st.vars), User: st.config.Config.User, Dir: st.workingDir(),
		Platform: platforms.FormatAll(st.config.Platform), Network: network, Offline: offline, Hosts: o.Hosts, ShmSize: o.ShmSize,
		Ulimits: o.Ulimits, Proxies: undeclaredProxies(st.vars, o.Args),
	}
	st.change(op, cmd, "RUN "+strings.Join(append(countedArgs(visibleArgs(st.args, st.vars)), args...), " "))
	return nil
}

// network is the mode that a RUN asks for, and whether it comes to none. Its flag may ask for less than the build allows,
// not for more: whoever builds without a network need not trust the Buildfile.
func (st *stage) network(cmd *instructions.RunCommand) (asked string, offline bool, err error) {
	allowed, flag := st.options.Network, instructions.GetNetwork(cmd)
	if allowed == "" {
		allowed = instructions.NetworkDefault
	}
	switch {
	case allowed == instructions.NetworkNone && flag == instructions.NetworkHost:
		return "", false, errors.New("RUN --network=host in a build with the network none")
	case allowed == instructions.NetworkNone || flag == instructions.NetworkNone:
		return instructions.NetworkNone, true, nil
	case flag == instructions.NetworkHost:
		return flag, false, nil
	}
	return allowed, false, nil
}

// heredocs turns the here-documents of a RUN into what is executed: the document itself as the shell's command, a
// script of its own where it begins with #!, or the whole text for the shell to read where there are several.
func heredocs(c instructions.ShellDependantCmdLine) (instructions.ShellDependantCmdLine, []File) {
	if len(c.Files) == 0 || len(c.CmdLine) != 1 {
		return c, nil
	}
	if only, err := parser.ParseHeredoc(c.CmdLine[0]); err != nil || only == nil {
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
	script := File{Path: "/dev/pipes/" + f.Name, Data: data}
	c.CmdLine = []string{script.Path}
	return c, []File{script}
}

// proxyVars reach RUN from the build arguments without being declared, and enter no key, history or config from there. Where
// an ARG declares one, or an ENV sets it, RUN sees it as any other variable.
var proxyVars = []string{"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"}

func isProxy(name string) bool {
	return slices.Contains(proxyVars, strings.ToLower(name)) && (name == strings.ToLower(name) || name == strings.ToUpper(name))
}

// undeclaredProxies are those of the build arguments that vars do not set. As in docker each is there in both cases, because
// programs look for either.
func undeclaredProxies(vars []string, args map[string]string) []string {
	var proxies []string
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(args)), func(name string) bool { return !isProxy(name) })
	for _, as := range []func(string) string{strings.Clone, strings.ToUpper, strings.ToLower} {
		for _, name := range names {
			if !hasVar(vars, as(name)) && !hasVar(proxies, as(name)) {
				proxies = append(proxies, as(name)+"="+args[name])
			}
		}
	}
	return proxies
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
