package snapshot

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	bolt "go.etcd.io/bbolt"
)

// namedSnapshotter is the snapshotter that workspaces and the unpacker use. Each call is one metadata transaction:
// between two transactions another process could collect what the first one made.
type namedSnapshotter struct {
	snapshots.Snapshotter // containerd's metadata
	store                 *Store
}

func (t *namedSnapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) (mounts []mount.Mount, err error) {
	err = t.store.transact(ctx, func(ctx context.Context, _ *bolt.Tx) (err error) {
		mounts, err = t.Snapshotter.Prepare(ctx, key, parent, opts...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return mounts, copyRootMetadata(mounts)
}

func (t *namedSnapshotter) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) (mounts []mount.Mount, err error) {
	err = t.store.transact(ctx, func(ctx context.Context, _ *bolt.Tx) (err error) {
		mounts, err = t.Snapshotter.View(ctx, key, parent, opts...)
		return err
	})
	return mounts, err
}

// Commit freezes key as name. The tree is on disk before the database names it.
func (t *namedSnapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	mounts, err := t.Mounts(ctx, key)
	if err != nil {
		return err
	}
	upper, err := upperOf(mounts)
	if err != nil {
		return err
	}
	usage, err := t.store.syncTree(ctx, upper)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, usageKey{}, usage)
	return t.Snapshotter.Commit(ctx, name, key, opts...)
}

// Remove removes key at once. Containerd's metadata would leave the files to the next collection.
func (t *namedSnapshotter) Remove(ctx context.Context, key string) error {
	// The files of what is not frozen go first: on a full disk that makes the room that the transaction needs.
	if err := t.discardFiles(ctx, key); err != nil {
		return err
	}
	var id string
	err := t.store.transact(ctx, func(ctx context.Context, tx *bolt.Tx) (err error) {
		name := backendName(tx, key)
		if err := t.Snapshotter.Remove(ctx, key); err != nil {
			return err
		}
		id, err = t.store.snapshotterDB.remove(ctx, name)
		return err
	})
	if err != nil {
		return err
	}
	return t.store.discardNumber(id)
}

func (t *namedSnapshotter) discardFiles(ctx context.Context, key string) error {
	var name string
	err := t.store.meta.View(func(tx *bolt.Tx) error {
		name = backendName(tx, key)
		return nil
	})
	if err != nil || name == "" {
		return err
	}
	var id string
	err = t.store.snapshotterDB.WithTransaction(ctx, false, func(ctx context.Context) error {
		number, info, _, err := storage.GetInfo(ctx, name)
		if info.Kind == snapshots.KindActive {
			id = number
		}
		return err
	})
	if err != nil || id == "" {
		return err
	}
	return t.store.discardNumber(id)
}

// discardNumber removes the directory of a snapshot's number.
func (s *Store) discardNumber(id string) error {
	return s.discard(filepath.Join(s.snapshotterDB.dirs, id))
}

// copyRootMetadata gives the new root directory what it would lose: overlayfs shows the upper root's mode, and a new one
// depends on the umask.
func copyRootMetadata(mounts []mount.Mount) error {
	upper, err := upperOf(mounts)
	if err != nil {
		return err
	}
	lower, _, _ := strings.Cut(option(mounts[0], "lowerdir="), ":")
	return copyMetadata(upper, lower)
}
