package snapshot

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
)

func TestContainerdSnapshotterSuite(t *testing.T) {
	needRoot(t)
	testsuite.SnapshotterSuite(t, "overlayfs", func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		s, err := Open(ctx, Options{Root: root})
		if err != nil {
			return nil, nil, err
		}
		return renamed{s.tree}, s.Close, nil
	})
}

// renamed brings the suite's calls into the store's namespace.
type renamed struct{ *tree }

func (r renamed) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	return r.tree.Stat(named(ctx), key)
}

func (r renamed) Update(ctx context.Context, info snapshots.Info, fields ...string) (snapshots.Info, error) {
	return r.tree.Update(named(ctx), info, fields...)
}

func (r renamed) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	return r.tree.Usage(named(ctx), key)
}

func (r renamed) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	return r.tree.Mounts(named(ctx), key)
}

func (r renamed) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return r.tree.Prepare(named(ctx), key, parent, opts...)
}

func (r renamed) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return r.tree.View(named(ctx), key, parent, opts...)
}

func (r renamed) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return r.tree.Commit(named(ctx), name, key, opts...)
}

func (r renamed) Remove(ctx context.Context, key string) error {
	return r.tree.Remove(named(ctx), key)
}

func (r renamed) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	return r.tree.Walk(named(ctx), fn, filters...)
}
