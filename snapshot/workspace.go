package snapshot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
)

// Workspace is a writable tree on a snapshot. Commit and Discard end it.
type Workspace struct {
	store  *Store
	lease  *Lease
	key    string
	mounts []mount.Mount

	mu    sync.Mutex
	dir   string // where it is mounted, "" if it is not
	ended bool
}

var errEnded = fmt.Errorf("workspace has ended: %w", errdefs.ErrFailedPrecondition)

// Prepare makes a workspace on the snapshot that parent names; "" is the empty tree, whose root directory belongs to
// 0:0 and has mode 0755. ctx is a lease's, and the workspace ends with the lease.
func (s *Store) Prepare(ctx context.Context, parent string) (*Workspace, error) {
	lease, err := s.leaseOf(ctx)
	if err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	w := &Workspace{store: s, lease: lease, key: "workspace-" + rand.Text()}
	w.mounts, err = s.tree.Prepare(lease.Context(ctx), w.key, parent)
	if err != nil {
		return nil, fmt.Errorf("workspace on %q: %w", parent, err)
	}
	for i := range w.mounts {
		// The tree is synced when it is committed, so fsync within needs no disk.
		if w.mounts[i].Type == "overlay" {
			w.mounts[i].Options = append(slices.Clip(w.mounts[i].Options), "volatile")
		}
	}
	return w, nil
}

// Mount mounts the workspace for writing and returns the directory; later calls return the same directory.
func (w *Workspace) Mount(context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return "", errEnded
	}
	if w.dir != "" {
		return w.dir, nil
	}
	dir, err := w.lease.mountpoint()
	if err != nil {
		return "", fmt.Errorf("mount workspace: %w", err)
	}
	if err := mount.All(w.mounts, dir); err != nil {
		return "", fmt.Errorf("mount workspace: %w", err)
	}
	w.dir = dir
	return dir, nil
}

// Commit freezes the tree as a snapshot, ends the workspace and returns the snapshot's name, which no other snapshot
// ever has. The tree is on disk when Commit returns. A process that still uses the mount makes Commit fail; the
// workspace is then still to be discarded.
func (w *Workspace) Commit(ctx context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return "", errEnded
	}
	if w.dir != "" {
		if err := unmountIdle(ctx, w.dir); err != nil {
			return "", fmt.Errorf("commit workspace: %w", err)
		}
		w.dir = ""
	}
	name := strings.ToLower(rand.Text())
	if err := w.store.tree.Commit(w.lease.Context(ctx), name, w.key); err != nil {
		return "", fmt.Errorf("commit workspace: %w", err)
	}
	w.ended = true
	return name, nil
}

// Discard unmounts the workspace and removes its files. It does nothing after Commit or Discard, so it may be deferred.
func (w *Workspace) Discard() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil
	}
	w.ended = true
	if err := w.unmount(); err != nil {
		return fmt.Errorf("discard workspace: %w", err)
	}
	err := w.store.tree.Remove(w.lease.Context(detached()), w.key)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("discard workspace: %w", err)
	}
	return nil
}

func (w *Workspace) unmount() error {
	if w.dir == "" {
		return nil
	}
	return errors.Join(unmountBelow(w.dir), w.store.trash.take(w.dir))
}
