package builder

import (
	"context"
	"os"
	"path/filepath"
)

// umociRoot is a bundle for the next build: each one uses it up.
type umociRoot struct{ Site }

// openUmoci unpacks the base.
func openUmoci(ctx context.Context, site Site) (Root, error) {
	r := umociRoot{site}
	return r, site.run(ctx, "umoci", "unpack", "--image", site.Base.Dir+":latest", r.bundle())
}

func (r umociRoot) bundle() string { return filepath.Join(r.Dir, "bundle") }

// Build adds to a copy of the base's layout. It copies the tree of the context, which is what all Buildfiles do that umoci can
// be compared on. To prime it there is nothing to do.
func (r umociRoot) Build(ctx context.Context, job Job) error {
	if job.Buildfile == r.Prime {
		return os.MkdirAll(job.Out, 0o755)
	}
	if err := r.run(ctx, "cp", "-a", r.Base.Dir, job.Out); err != nil {
		return err
	}
	if err := r.run(ctx, "cp", "-a", job.Context+"/tree", r.bundle()+"/rootfs/app"); err != nil {
		return err
	}
	return r.run(ctx, "umoci", "repack", "--image", job.Out+":latest", r.bundle())
}

// Close has nothing to end.
func (umociRoot) Close(context.Context) error { return nil }
