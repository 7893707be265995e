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
type renamed struct{ *namedSnapshotter }

func (r renamed) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	return r.namedSnapshotter.Stat(withNamespace(ctx), key)
}

func (r renamed) Update(ctx context.Context, info snapshots.Info, fields ...string) (snapshots.Info, error) {
	return r.namedSnapshotter.Update(withNamespace(ctx), info, fields...)
}

func (r renamed) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	return r.namedSnapshotter.Usage(withNamespace(ctx), key)
}

func (r renamed) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	return r.namedSnapshotter.Mounts(withNamespace(ctx), key)
}

func (r renamed) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return r.namedSnapshotter.Prepare(withNamespace(ctx), key, parent, opts...)
}

func (r renamed) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return r.namedSnapshotter.View(withNamespace(ctx), key, parent, opts...)
}

func (r renamed) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return r.namedSnapshotter.Commit(withNamespace(ctx), name, key, opts...)
}

func (r renamed) Remove(ctx context.Context, key string) error {
	return r.namedSnapshotter.Remove(withNamespace(ctx), key)
}

func (r renamed) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	return r.namedSnapshotter.Walk(withNamespace(ctx), fn, filters...)
}
