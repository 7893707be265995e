package builder

import "context"

type lbuildRoot struct {
	Site
	program string
}

func openLBuild(_ context.Context, site Site) (Root, error) {
	return lbuildRoot{site, site.LBuild}, nil
}

// Before is another lbuild, at a path: of an earlier commit, to see what changed since. It finds its runc itself.
func Before(path string) Builder {
	return Builder{
		Name: "before", How: "`lbuild build` of an earlier commit", program: path, version: []string{"version"},
		open: func(_ context.Context, site Site) (Root, error) { return lbuildRoot{site, path}, nil },
	}
}

// Build needs no daemon and leaves nothing mounted.
func (r lbuildRoot) Build(ctx context.Context, job Job) error {
	return r.run(ctx, r.program, "--root", r.Dir+"/root", "build", "--progress", "plain",
		"--build-context", r.BaseName+"=oci-layout://"+r.Base.Dir,
		"-f", job.Buildfile, "-t", "compared:latest", "-o", "type=oci,tar=false,dest="+job.Out, job.Context)
}

// Close has nothing to end.
func (lbuildRoot) Close(context.Context) error { return nil }
