package builder

import (
	"context"
	"os"
	"path/filepath"
)

// umociRoot is a bundle for the next build: each one uses it up.
type umociRoot struct{ Site }

// openUmoci copies the base into a layout with a tag, and unpacks it.
func openUmoci(ctx context.Context, site Site) (Root, error) {
	r := umociRoot{site}
	if err := site.run(ctx, "cp", "-a", site.Base.Dir, r.layout()); err != nil {
		return nil, err
	}
	return r, site.run(ctx, "umoci", "unpack", "--image", r.layout()+":latest", r.bundle())
}

func (r umociRoot) layout() string { return filepath.Join(r.Dir, "layout") }
func (r umociRoot) bundle() string { return filepath.Join(r.Dir, "bundle") }

// Build copies the tree of the context, which is what all Buildfiles do that umoci can be compared on. To prime it there is
// nothing to do.
func (r umociRoot) Build(ctx context.Context, job Job) error {
	if job.Buildfile == r.Prime {
		return os.MkdirAll(job.Out, 0o755)
	}
	if err := r.run(ctx, "cp", "-a", job.Context+"/tree", r.bundle()+"/rootfs/app"); err != nil {
		return err
	}
	if err := r.run(ctx, "umoci", "repack", "--image", r.layout()+":latest", r.bundle()); err != nil {
		return err
	}
	return os.Rename(r.layout(), job.Out)
}

// Close has nothing to end.
func (umociRoot) Close(context.Context) error { return nil }
