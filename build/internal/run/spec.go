package run

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	defaultHostname = "lbuild"
	defaultPath     = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	defaultShm      = 64 << 20 // bytes

	// specVersion has all that is used here. Runtimes refuse what is newer
	// than themselves.
	specVersion = "1.0.2"
)

// spec is docker's idea of a container: containerd's default capabilities,
// masked and read-only paths and seccomp profile, with new privileges (sudo)
// allowed and a cgroup namespace of its own.
func (c Command) spec(ctx context.Context, b bundle, files []specs.Mount) (*specs.Spec, error) {
	who, err := lookUpUser(c.Root, c.User)
	if err != nil {
		return nil, err
	}
	ctx = namespaces.WithNamespace(ctx, "lbuild") // GenerateSpec insists on one
	return oci.GenerateSpec(ctx, nil, &containers.Container{ID: b.id},
		oci.WithRootFSPath(c.Root),
		oci.WithCgroup(b.cgroup()),
		oci.WithNewPrivileges,
		oci.WithoutRunMount,
		oci.WithMounts(append([]specs.Mount{cgroupMount()}, files...)),
		oci.WithHostname(c.hostname()),
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace}),
		c.network(),
		c.process(who),
		seccomp.WithDefaultProfile(), // reads the capabilities, so it comes last
	)
}

func (c Command) hostname() string {
	if c.Hostname == "" {
		return defaultHostname
	}
	return c.Hostname
}

func cgroupMount() specs.Mount {
	return specs.Mount{
		Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"},
	}
}

func (c Command) network() oci.SpecOpts {
	if c.Network == HostNetwork {
		return oci.WithHostNamespace(specs.NetworkNamespace)
	}
	return oci.Compose()
}

// process sets the fields for which containerd's options would read the image
// or start from other defaults.
func (c Command) process(who identity) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *specs.Spec) error {
		s.Version = specVersion
		s.Process.Args = c.Args
		s.Process.Cwd = "/"
		if c.Dir != "" {
			s.Process.Cwd = c.Dir
		}
		s.Process.Env = withDefaults(c.Env, defaultPath, "HOME="+who.home)
		s.Process.User = who.user
		s.Process.Rlimits = rlimits(c.Ulimits)
		setShmSize(s.Mounts, c.ShmSize)
		return nil
	}
}

// rlimits names limits as the runtime does, and leaves others as lbuild itself was given.
func rlimits(limits []Ulimit) []specs.POSIXRlimit {
	var list []specs.POSIXRlimit
	for _, l := range limits {
		list = append(list, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(l.Name), Soft: uint64(l.Soft), Hard: uint64(l.Hard)})
	}
	return list
}

func setShmSize(mounts []specs.Mount, size int64) {
	if size == 0 {
		size = defaultShm
	}
	for i := range mounts {
		if mounts[i].Destination == "/dev/shm" {
			mounts[i].Options = []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", size)}
		}
	}
}

// withDefaults returns env with those of defaults whose name it lacks.
func withDefaults(env []string, defaults ...string) []string {
	set := make(map[string]bool, len(env))
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		set[name] = true
	}
	out := append([]string(nil), env...)
	for _, d := range defaults {
		if name, _, _ := strings.Cut(d, "="); !set[name] {
			out = append(out, d)
		}
	}
	return out
}
