package plan

import (
	"fmt"

	"github.com/docker/go-connections/nat"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// expose adds ports to the config. A variable may hold several, separated by spaces.
func (st *stage) expose(cmd *instructions.ExposeCommand) (string, error) {
	words := st.file.Expander(cmd.Location(), shell.EnvsFromSlice(st.vars))
	var ports []string
	for _, word := range cmd.Ports {
		list, err := words.Words(word)
		if err != nil {
			return "", err
		}
		ports = append(ports, list...)
	}
	if st.config.Config.ExposedPorts == nil {
		st.config.Config.ExposedPorts = map[string]struct{}{}
	}
	var exposed []string
	for _, p := range ports {
		list, err := portRange(p)
		if err != nil {
			return "", err
		}
		for _, port := range list {
			st.config.Config.ExposedPorts[port] = struct{}{}
		}
		exposed = append(exposed, list...)
	}
	return fmt.Sprintf("EXPOSE %v", exposed), nil
}

// portRange turns "80", "53/udp" or "7000-7002" into ports with their protocol, as the config lists them. As in
// docker, an address and a host's port before a colon are read and have no effect.
func portRange(spec string) ([]string, error) {
	mappings, err := nat.ParsePortSpec(spec)
	if err != nil {
		return nil, fmt.Errorf("%q is not a port such as 80, 53/udp or 7000-7002", spec)
	}
	var list []string
	for _, m := range mappings {
		list = append(list, string(m.Port))
	}
	return list, nil
}
