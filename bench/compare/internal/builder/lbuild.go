package builder

import "context"

type lbuildRoot struct{ Site }

func openLBuild(_ context.Context, site Site) (Root, error) { return lbuildRoot{site}, nil }

// Build needs no daemon and leaves nothing mounted.
func (r lbuildRoot) Build(ctx context.Context, job Job) error {
	return r.run(ctx, r.LBuild, "--root", r.Dir+"/root", "build", "--progress", "plain",
		"--build-context", r.BaseName+"=oci-layout://"+r.Base.Dir,
		"-f", job.Buildfile, "-t", "compared:latest", "-o", "type=oci,tar=false,dest="+job.Out, job.Context)
}

// Close has nothing to end.
func (lbuildRoot) Close(context.Context) error { return nil }
