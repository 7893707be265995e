package snapshot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// Workspace is a writable tree on a snapshot. Commit and Discard end it. Its files lie in the lease's directory and no
// database knows them until they are frozen, so beginning and discarding one cost no transaction.
type Workspace struct {
	store  *Store
	lease  *Lease
	parent string
	below  []string // the directories of the parent, the topmost first
	files  string   // the directory that holds upper and work
	mounts []mount.Mount

	mu    sync.Mutex
	dir   string // where it is mounted, "" if it is not
	ended bool
}

var errEnded = fmt.Errorf("workspace has ended: %w", errdefs.ErrFailedPrecondition)

// Prepare makes a workspace on the snapshot that parent names; "" is the empty tree, whose root directory belongs to
// 0:0 and has mode 0755. ctx is a lease's, which keeps the parent, and the workspace ends with the lease.
func (s *Store) Prepare(ctx context.Context, parent string) (*Workspace, error) {
	lease, err := s.leaseOf(ctx)
	if err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	w := &Workspace{store: s, lease: lease, parent: parent}
	if err := w.make(lease.Context(ctx)); err != nil {
		return nil, fmt.Errorf("workspace on %q: %w", parent, err)
	}
	return w, nil
}

// make makes the two directories of the workspace. What it made when it fails goes with the lease.
func (w *Workspace) make(ctx context.Context) (err error) {
	if err = w.keepParent(ctx); err != nil {
		return err
	}
	if w.files, err = w.lease.directory("trees"); err != nil {
		return err
	}
	for _, dir := range []string{w.upper(), w.work()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	w.mounts = []mount.Mount{w.store.writable(w.upper(), w.work(), w.below)}
	// Overlayfs shows the upper root's metadata, so a new one would change what the parent shows.
	if len(w.below) == 0 {
		return copyMetadata(w.upper(), "")
	}
	return copyMetadata(w.upper(), w.below[0])
}

// keepParent adds the parent to the lease and finds its directories.
func (w *Workspace) keepParent(ctx context.Context) (err error) {
	if w.parent == "" {
		return nil
	}
	if err := w.lease.keepSnapshot(ctx, w.parent); err != nil {
		return err
	}
	w.below, err = w.lease.stack(ctx, w.parent)
	return err
}

func (w *Workspace) upper() string { return filepath.Join(w.files, "fs") }
func (w *Workspace) work() string  { return filepath.Join(w.files, "work") }

// writable shows the tree with a place to write. It is synced when it is committed, so fsync within needs no disk.
func (s *Store) writable(upper, work string, below []string) mount.Mount {
	if len(below) == 0 {
		return mount.Mount{Type: "bind", Source: upper, Options: []string{"rw", "rbind"}}
	}
	options := []string{"workdir=" + work, "upperdir=" + upper, "lowerdir=" + strings.Join(below, ":"), "volatile"}
	options = append(options, overlayOptions...)
	if s.userXattr {
		options = append(options, "userxattr")
	}
	return mount.Mount{Type: "overlay", Source: "overlay", Options: options}
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

// NewName is a name for a snapshot that no other snapshot ever has.
func NewName() string { return strings.ToLower(rand.Text()) }

// Commit freezes the tree as the snapshot name and ends the workspace. The records are changed in the same transaction,
// and may name the snapshot. Tree, name and records are on disk when Commit returns: a power cut before that may lose
// all of them, never some. The error is errdefs.ErrAlreadyExists if there is a snapshot of that name, which the lease
// then keeps. A process that still uses the mount makes Commit fail. After an error the workspace is still to be
// discarded; until then it may be committed again, as long as it was not the database itself that failed.
func (w *Workspace) Commit(ctx context.Context, name string, records ...Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return errEnded
	}
	upper, err := w.commit(w.lease.Context(ctx), name, records)
	if err != nil {
		return fmt.Errorf("commit workspace: %w", err)
	}
	w.ended = true
	w.lease.remember(name, append([]string{upper}, w.below...))
	if os.RemoveAll(w.files) == nil { // what overlayfs had to itself: few directories, and none of the step's
		return nil
	}
	return w.discard()
}

// commit syncs the files before the transactions begin, which then last for moments; each costs two syncs, so there is
// one in each database and no more. It returns where the tree is.
func (w *Workspace) commit(ctx context.Context, name string, records []Change) (upper string, err error) {
	if name == "" {
		return "", fmt.Errorf("a snapshot needs a name: %w", errdefs.ErrInvalidArgument)
	}
	if w.dir != "" {
		if err := unmountIdle(ctx, w.dir); err != nil {
			return "", err
		}
		w.dir = ""
	}
	usage, err := w.store.syncTree(ctx, w.upper())
	if err != nil {
		return "", err
	}
	tree := &newTree{upper: w.upper(), usage: usage}
	err = w.store.transact(ctx, func(ctx context.Context, tx *bolt.Tx) error {
		if err := w.store.addSnapshot(ctx, name, w.parent, tree); err != nil {
			return err
		}
		if err := w.store.PutRecords(ctx, records...); err != nil {
			return errors.Join(err, w.store.undoAddSnapshot(ctx, tx, name, tree))
		}
		return nil
	})
	return tree.placed, err
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
	if err := w.discard(); err != nil {
		return fmt.Errorf("discard workspace: %w", err)
	}
	return nil
}

// discard removes the files.
func (w *Workspace) discard() error { return w.store.discard(w.files) }

func (w *Workspace) unmount() error {
	if w.dir == "" {
		return nil
	}
	return errors.Join(unmountBelow(w.dir), w.store.discard(w.dir))
}
