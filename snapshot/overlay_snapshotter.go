package snapshot

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
)

// overlayOptions are all that change what an upper directory means, so that no default of the machine does.
// redirect_dir=nofollow makes no redirects, as off does, and also follows none that a tree brings along.
var overlayOptions = []string{"index=off", "metacopy=off", "redirect_dir=nofollow", "nfs_export=off"}

// overlaySnapshotter is containerd's overlay snapshotter as its metadata calls it, within metadata transactions.
type overlaySnapshotter struct {
	snapshots.Snapshotter
	snapshotterDB *snapshotterDatabase
}

func (s *Store) openOverlay(ctx context.Context) (err error) {
	s.snapshotterDB = &snapshotterDatabase{
		path:  s.path("snapshots", "metadata.db"),
		lock:  s.path("snapshots.lock"),
		dirs:  s.path("snapshots", "snapshots"),
		trash: s.trash,
	}
	if !exists(s.snapshotterDB.path) {
		// A transaction that only reads needs a file to open.
		if err := s.snapshotterDB.WithTransaction(ctx, true, func(context.Context) error { return nil }); err != nil {
			return err
		}
	}
	if s.userXattr, err = overlayutils.NeedsUserXAttr(s.root); err != nil {
		return fmt.Errorf("overlay xattrs: %w", err)
	}
	sn, err := overlay.NewSnapshotter(s.path("snapshots"), overlay.WithMetaStore(s.snapshotterDB),
		overlay.AsynchronousRemove, overlay.WithMountOptions(overlayOptions))
	if err != nil {
		return err
	}
	s.overlay = &overlaySnapshotter{Snapshotter: sn, snapshotterDB: s.snapshotterDB}
	return nil
}

type usageKey struct{}

// Prepare begins a snapshot. The directory of a new tree is there already.
func (b *overlaySnapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	if a, ok := ctx.Value(newTreeKey{}).(*newTree); ok {
		a.parent = parent
		return nil, nil
	}
	return b.Snapshotter.Prepare(ctx, key, parent, opts...)
}

// Commit freezes key as name. The tree was measured before the transaction; containerd would walk it within.
func (b *overlaySnapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	if a, ok := ctx.Value(newTreeKey{}).(*newTree); ok {
		return a.commit(ctx, b.snapshotterDB, name, key, opts)
	}
	usage, ok := ctx.Value(usageKey{}).(snapshots.Usage)
	if !ok {
		return b.Snapshotter.Commit(ctx, name, key, opts...)
	}
	return b.snapshotterDB.WithTransaction(ctx, true, func(ctx context.Context) error {
		_, err := storage.CommitActive(ctx, key, name, usage, opts...)
		return err
	})
}

// Cleanup moves directories without a snapshot into the trash.
func (b *overlaySnapshotter) Cleanup(ctx context.Context) error {
	return b.snapshotterDB.WithTransaction(ctx, true, func(ctx context.Context) error {
		_, err := b.snapshotterDB.discardUnknown(ctx)
		return err
	})
}

// upperOf is the directory that a mount writes to.
func upperOf(mounts []mount.Mount) (string, error) {
	if len(mounts) != 1 {
		return "", fmt.Errorf("%d mounts for one tree", len(mounts))
	}
	if m := mounts[0]; m.Type == "bind" {
		return m.Source, nil
	}
	if upper := option(mounts[0], "upperdir="); upper != "" {
		return upper, nil
	}
	return "", fmt.Errorf("%s mount has no upper directory", mounts[0].Type)
}

func option(m mount.Mount, prefix string) string {
	for _, o := range m.Options {
		if v, ok := strings.CutPrefix(o, prefix); ok {
			return v
		}
	}
	return ""
}
