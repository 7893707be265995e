package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// newTree is a workspace's tree on its way to the snapshotter, which learns of it when it is frozen: containerd's calls
// to prepare and to commit it are one transaction in each database.
type newTree struct {
	upper  string // moved into the snapshotter's directory
	usage  snapshots.Usage
	parent string // as the snapshotter names it; set on the way
	placed string // where it was moved
}

type newTreeKey struct{}

// addSnapshot makes a tree that is on disk the frozen snapshot name, or fails with errdefs.ErrAlreadyExists if there is
// one: then that is kept. ctx is that of a transaction and of a lease, which gets the name.
func (s *Store) addSnapshot(ctx context.Context, name, parent string, a *newTree, opts ...snapshots.Opt) error {
	err := s.addToLease(ctx, name)
	if err == nil {
		return fmt.Errorf("snapshot %s: %w", name, errdefs.ErrAlreadyExists)
	}
	if !errdefs.IsNotFound(err) {
		return err
	}
	ctx = context.WithValue(ctx, newTreeKey{}, a)
	key := "tree-" + name
	if _, err := s.tree.Snapshotter.Prepare(ctx, key, parent); err != nil {
		return err
	}
	return s.tree.Snapshotter.Commit(ctx, name, key, opts...)
}

// commit moves the tree and names it. A process that is killed in between leaves a directory without a name, which is
// taken away when its number comes up again, or by a collection. One that is killed before containerd's metadata has the
// name, too, leaves a whole snapshot: another process that waits with the same layer has the same name for it, which
// exists then, and takes that one.
func (a *newTree) commit(ctx context.Context, db *snapshotterDatabase, name, key string, opts []snapshots.Opt) error {
	return db.WithTransaction(ctx, true, func(ctx context.Context) error {
		s, err := storage.CreateSnapshot(ctx, snapshots.KindActive, key, a.parent)
		if err != nil {
			return err
		}
		dir := filepath.Join(db.dirs, s.ID)
		if err := a.move(dir); err != nil {
			return errors.Join(err, a.moveBack(dir))
		}
		if _, err = storage.CommitActive(ctx, key, name, a.usage, opts...); err != nil {
			return errors.Join(err, a.moveBack(dir))
		}
		return nil
	})
}

// undoAddSnapshot undoes addSnapshot within a transaction that fails: the snapshotter's own has ended.
func (s *Store) undoAddSnapshot(ctx context.Context, tx *bolt.Tx, name string, a *newTree) error {
	id, err := s.snapshotterDB.remove(ctx, backendName(tx, name))
	if err != nil {
		return err
	}
	return a.moveBack(filepath.Join(s.snapshotterDB.dirs, id))
}

// moveBack undoes move, also a part of it.
func (a *newTree) moveBack(dir string) error {
	return errors.Join(unlessGone(os.Rename(filepath.Join(dir, "fs"), a.upper)), unlessGone(os.Remove(dir)))
}

// move gives the tree its place, on disk before any database says so.
func (a *newTree) move(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	a.placed = filepath.Join(dir, "fs")
	if err := os.Rename(a.upper, a.placed); err != nil {
		return err
	}
	return errors.Join(syncPath(dir), syncPath(filepath.Dir(dir)))
}
