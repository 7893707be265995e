package builder

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/lbuild/lbuild/bench/compare/internal/measure"
)

type buildahRoot struct {
	Site
	layers bool
}

func openBuildah(layers bool) func(context.Context, Site) (Root, error) {
	return func(ctx context.Context, site Site) (Root, error) {
		r := buildahRoot{site, layers}
		pull := r.command(ctx, "buildah", r.args("pull", "--quiet", "oci:"+site.Base.Dir)...)
		pull.Stdout = nil
		id, err := pull.Output()
		if err != nil {
			return nil, fmt.Errorf("buildah pull: %w: %s", err, measure.Said(r.Log))
		}
		return r, r.buildah(ctx, "tag", strings.TrimSpace(string(id)), site.BaseName)
	}
}

// args are the arguments of a command in the root.
func (r buildahRoot) args(command ...string) []string {
	return append([]string{"--root", r.Dir + "/root", "--runroot", r.Dir + "/run", "--storage-driver", "overlay"}, command...)
}

func (r buildahRoot) buildah(ctx context.Context, command ...string) error {
	return r.run(ctx, "buildah", r.args(command...)...)
}

const stagesAtOnce = "3"

// Build writes the OCI layout itself, without a copy in buildah's storage where no layers are kept.
func (r buildahRoot) Build(ctx context.Context, job Job) error {
	return r.buildah(ctx, "build", "--runtime", r.Runc, "--network", "host", "--pull-never", "--jobs", stagesAtOnce,
		"--layers="+strconv.FormatBool(r.layers), "--disable-compression=false", "--format", "oci",
		"-f", job.Buildfile, "-t", "oci:"+job.Out+":latest", job.Context)
}

// Close removes containers, which unmounts their roots.
func (r buildahRoot) Close(ctx context.Context) error { return r.buildah(ctx, "rm", "--all") }
