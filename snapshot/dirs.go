package snapshot

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// Dirs are the directories that make up a frozen snapshot, as overlayfs reads them.
type Dirs struct {
	// Upper holds what the snapshot changed.
	Upper string
	// Lower are the directories below, the topmost first; none for a snapshot on the empty tree.
	Lower []string
	// UserXattr says that overlayfs keeps its marks in user.overlay.* instead of trusted.overlay.*.
	UserXattr bool
}

// Dirs returns the directories of a frozen snapshot. They never change, and last as long as the snapshot is kept.
func (s *Store) Dirs(ctx context.Context, name string) (Dirs, error) {
	find := s.stack
	if lease, err := s.leaseOf(ctx); err == nil {
		find = lease.stack
	}
	stack, err := find(s.Context(ctx), name)
	if err != nil {
		return Dirs{}, fmt.Errorf("directories of snapshot %s: %w", name, err)
	}
	return Dirs{Upper: stack[0], Lower: stack[1:], UserXattr: s.userXattr}, nil
}

// Dirs returns the directories of a workspace. They may be read while nobody writes to it.
func (w *Workspace) Dirs() Dirs {
	return Dirs{Upper: w.upper(), Lower: w.below, UserXattr: w.store.userXattr}
}

// stack lists the directories from the snapshot down to the empty tree.
func (s *Store) stack(ctx context.Context, name string) (dirs []string, err error) {
	var key string
	err = s.meta.View(func(tx *bolt.Tx) error {
		key = backendName(tx, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, fmt.Errorf("snapshot %s: %w", name, errdefs.ErrNotFound)
	}
	err = s.snapshotterDB.WithTransaction(ctx, false, func(ctx context.Context) error {
		for key != "" {
			id, info, _, err := storage.GetInfo(ctx, key)
			if err != nil {
				return err
			}
			if info.Kind != snapshots.KindCommitted {
				return fmt.Errorf("not frozen: %w", errdefs.ErrFailedPrecondition)
			}
			dirs = append(dirs, filepath.Join(s.snapshotterDB.dirs, id, "fs"))
			key = info.Parent
		}
		return nil
	})
	return dirs, err
}

// Stat describes the snapshot, or the workspace, that has the name.
func (s *Store) Stat(ctx context.Context, name string) (snapshots.Info, error) {
	return s.tree.Stat(s.Context(ctx), name)
}

// Exists says whether there is a frozen snapshot with the name.
func (s *Store) Exists(ctx context.Context, name string) (bool, error) {
	info, err := s.Stat(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil && info.Kind == snapshots.KindCommitted, err
}
