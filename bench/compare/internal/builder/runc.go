package builder

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// runcRoot is an unpacked base in which commands run without any builder: what they cost at least.
type runcRoot struct{ Site }

func openRunc(ctx context.Context, site Site) (Root, error) {
	r := runcRoot{site}
	rootfs := filepath.Join(r.bundle(), "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return nil, err
	}
	return r, site.Base.Unpack(ctx, rootfs)
}

func (r runcRoot) bundle() string { return filepath.Join(r.Dir, "bundle") }

// Build runs the commands of a Buildfile that has nothing but RUN, one container after the other. It makes no image.
func (r runcRoot) Build(ctx context.Context, job Job) error {
	text, err := os.ReadFile(job.Buildfile)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		command, ok := strings.CutPrefix(line, "RUN ")
		if !ok {
			continue
		}
		if err := r.configure(ctx, command); err != nil {
			return err
		}
		if err := r.run(ctx, r.Runc, "--root", r.Dir+"/state", "run", "--bundle", r.bundle(), fmt.Sprintf("compare-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// configure writes a container like those of builders: containerd's defaults, with its filter of system calls, in the
// host's network.
func (r runcRoot) configure(ctx context.Context, command string) error {
	spec, err := oci.GenerateSpec(namespaces.WithNamespace(ctx, "compare"), nil, &containers.Container{ID: "compare"},
		oci.WithRootFSPath("rootfs"),
		oci.WithProcessArgs("/bin/sh", "-c", command),
		oci.WithHostNamespace(specs.NetworkNamespace),
		oci.WithCgroup("/compare"),
		oci.WithMounts([]specs.Mount{{
			Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"},
		}}),
		oci.WithoutRunMount,
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.CgroupNamespace}),
		seccomp.WithDefaultProfile(), // reads the capabilities, so it comes last
	)
	if err != nil {
		return err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.bundle(), "config.json"), text, 0o600)
}

// Close has nothing to end.
func (runcRoot) Close(context.Context) error { return nil }
