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
type runcRoot struct {
	Site
	bundles []string // directories, one for each command
}

// openRunc makes a container for each RUN of the Buildfile that will be measured, so that only running them takes time.
func openRunc(ctx context.Context, site Site) (Root, error) {
	r := &runcRoot{Site: site}
	if err := os.MkdirAll(r.rootfs(), 0o755); err != nil {
		return nil, err
	}
	if err := site.Base.Unpack(ctx, r.rootfs()); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(site.Buildfile)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "RUN "); ok {
			if err := r.configure(ctx, command); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (r *runcRoot) rootfs() string { return filepath.Join(r.Dir, "rootfs") }

// runAll is one shell for all containers: what starts a program in a scope takes longer than a small container.
const runAll = `set -e; runc=$0; state=$1; shift; for b; do "$runc" --root "$state" run --bundle "$b" "${b##*/}"; done`

// Build runs the commands, one container after the other. It makes no image.
func (r *runcRoot) Build(ctx context.Context, _ Job) error {
	return r.run(ctx, "sh", append([]string{"-c", runAll, r.Runc, r.Dir + "/state"}, r.bundles...)...)
}

// configure writes a container like those of builders: containerd's defaults, with its filter of system calls, in the
// host's network.
func (r *runcRoot) configure(ctx context.Context, command string) error {
	spec, err := oci.GenerateSpec(namespaces.WithNamespace(ctx, "compare"), nil, &containers.Container{ID: "compare"},
		oci.WithRootFSPath(r.rootfs()),
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
	bundle := filepath.Join(r.Dir, fmt.Sprintf("compare-%d", len(r.bundles)))
	r.bundles = append(r.bundles, bundle)
	if err := os.Mkdir(bundle, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600)
}

// Close has nothing to end.
func (*runcRoot) Close(context.Context) error { return nil }
