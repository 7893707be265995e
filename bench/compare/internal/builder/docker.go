package builder

import "context"

// dockerRoot is the daemon that is there, with a cache that it keeps.
type dockerRoot struct {
	Site
	built map[string]bool // Buildfiles
}

func openDocker(_ context.Context, site Site) (Root, error) {
	return dockerRoot{site, map[string]bool{}}, nil
}

// Build takes nothing from the cache the first time that a Buildfile is built, so that it is as in a fresh root.
func (r dockerRoot) Build(ctx context.Context, job Job) error {
	args := []string{
		"buildx", "build", "--network", "host", "--provenance=false", "--build-context", r.BaseName + "=oci-layout://" + r.Base.Dir,
		"-f", job.Buildfile, "-o", "type=oci,tar=false,dest=" + job.Out, job.Context,
	}
	if !r.built[job.Buildfile] {
		args = append(args, "--no-cache")
	}
	r.built[job.Buildfile] = true
	return r.run(ctx, "docker", args...)
}

// Close has nothing to end.
func (dockerRoot) Close(context.Context) error { return nil }
