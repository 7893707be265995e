package snapshot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// Lease keeps what is made or used under its context until it is released, or until the process dies.
type Lease struct {
	store *Store
	id    string
	dir   string
	lock  *os.File     // held by the kernel as long as the process lives
	made  atomic.Int64 // directories in it

	mu   sync.Mutex
	kept map[string][]string // snapshots that are known to be kept by it, with their directories; nil: not looked up yet

	once sync.Once
	err  error
}

// Lease begins a lease; the caller releases it.
func (s *Store) Lease(ctx context.Context) (*Lease, error) {
	l, err := s.newLease()
	if err != nil {
		return nil, fmt.Errorf("new lease: %w", err)
	}
	if _, err := s.leases.Create(s.Context(ctx), leases.WithID(l.id)); err != nil {
		return nil, errors.Join(fmt.Errorf("new lease: %w", err), l.Release())
	}
	return l, nil
}

// newLease makes the directory and locks it. No reaper looks in between: it would take the directory for a dead one's.
func (s *Store) newLease() (_ *Lease, err error) {
	guard, err := lockDir(s.path("leases"), shared)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, guard)

	id := strings.ToLower(rand.Text())
	l := &Lease{store: s, id: id, dir: s.path("leases", id), kept: map[string][]string{}}
	for _, kind := range []string{"mnt", "trees", "blobs"} {
		if err := os.MkdirAll(filepath.Join(l.dir, kind), 0o700); err != nil {
			return nil, err
		}
	}
	if l.lock, err = lockFile(filepath.Join(l.dir, "lock"), tryLock); err != nil {
		return nil, errors.Join(err, s.discard(l.dir)) // empty directories, so the guard waits for little
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[id] = l
	return l, nil
}

// Context returns ctx with the lease: what the store and containerd's interfaces make or use under it is kept.
func (l *Lease) Context(ctx context.Context) context.Context {
	return leases.WithLease(l.store.Context(ctx), l.id)
}

// Dir is a directory for the files of whoever holds the lease; it is removed with the lease.
func (l *Lease) Dir() string { return l.dir }

// Release unmounts what is mounted below the lease, ends it and removes its directory. What only the lease kept stays
// on disk until the next collection. Later calls return what the first returned.
func (l *Lease) Release() error {
	l.once.Do(func() {
		trashed, err := l.store.endLease(detached(), l.id, l.lock)
		l.err = errors.Join(err, l.store.removeTrash(detached(), trashed))
		l.store.forget(l.id)
		if l.err != nil {
			l.err = fmt.Errorf("release lease: %w", l.err)
		}
	})
	return l.err
}

// endLease undoes a lease of this process or of a dead one, and closes its lock. The directory goes last: as long as it
// is there, a killed endLease is done again. It goes into the trash, under the name that endLease returns.
func (s *Store) endLease(ctx context.Context, id string, lock *os.File) (trashed string, err error) {
	defer closeInto(&err, lock)
	dir := s.path("leases", id)
	if err := unmountBelow(dir); err != nil {
		return "", err
	}
	if err := s.leases.Delete(ctx, leases.Lease{ID: id}); err != nil && !errdefs.IsNotFound(err) {
		return "", err
	}
	guard, err := lockDir(s.path("leases"), shared)
	if err != nil {
		return "", err
	}
	defer closeInto(&err, guard)
	return s.trash.moveIn(dir)
}

// mountpoint makes the next directory to mount on.
func (l *Lease) mountpoint() (string, error) { return l.directory("mnt") }

// directory makes the next directory of a kind.
func (l *Lease) directory(kind string) (string, error) {
	dir := filepath.Join(l.dir, kind, strconv.FormatInt(l.made.Add(1), 10))
	return dir, os.Mkdir(dir, 0o700)
}

// keepSnapshot adds a snapshot to the lease. A lease lets nothing go while it lasts, so it takes one transaction for
// each.
func (l *Lease) keepSnapshot(ctx context.Context, snapshot string) error {
	l.mu.Lock()
	_, known := l.kept[snapshot]
	l.mu.Unlock()
	if known {
		return nil
	}
	if err := l.store.addToLease(l.Context(ctx), snapshot); err != nil {
		return err
	}
	l.remember(snapshot, nil)
	return nil
}

// remember notes that the lease keeps a snapshot, which therefore stays in its directories; nil: they are not known.
func (l *Lease) remember(snapshot string, dirs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept[snapshot] = dirs
}

// stack lists the directories of a snapshot as [Store.stack] does, and looks only once for those of one that the lease is
// known to keep.
func (l *Lease) stack(ctx context.Context, snapshot string) ([]string, error) {
	l.mu.Lock()
	dirs, known := l.kept[snapshot]
	l.mu.Unlock()
	if dirs != nil {
		return dirs, nil
	}
	dirs, err := l.store.stack(ctx, snapshot)
	if err == nil && known {
		l.remember(snapshot, dirs)
	}
	return dirs, err
}

// liveLeases lists the leases that this store has not released.
func (s *Store) liveLeases() []*Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Lease
	for _, l := range s.live {
		all = append(all, l)
	}
	return all
}

func (s *Store) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, id)
}

// leaseOf is the lease whose context ctx is.
func (s *Store) leaseOf(ctx context.Context) (*Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.live[leaseID(ctx)]
	if !ok {
		return nil, fmt.Errorf("needs the context of a lease of this store: %w", errdefs.ErrFailedPrecondition)
	}
	return l, nil
}
