package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// deadLease is the lease of a process that is gone, locked so that no other process cleans it too.
type deadLease struct {
	id   string
	lock *os.File
}

// endDeadLeases ends the leases of dead processes and collects what they kept. Without any it reads one directory. A
// lease that cannot be ended, because a process in it outlives its killing, stays with all it keeps: it must not lock
// others out.
func (s *Store) endDeadLeases(ctx context.Context) error {
	dead, err := s.deadLeases()
	if err != nil {
		return err
	}
	for _, d := range dead {
		if err := s.endDeadLease(ctx, d); err != nil {
			s.warn(fmt.Errorf("store %s: leave lease %s of a dead process for later: %w", s.root, d.id, err))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(dead) > 0 {
		if _, err := s.collect(ctx); err != nil {
			return err
		}
	}
	if err := s.removeDeadLocks(); err != nil {
		s.warn(fmt.Errorf("store %s: leave locks of a dead process for later: %w", s.root, err))
	}
	return s.emptyTrash(ctx)
}

func (s *Store) endDeadLease(ctx context.Context, d deadLease) error {
	if s.opts.Reap != nil {
		if err := s.opts.Reap(ctx, s.path("leases", d.id)); err != nil {
			return errors.Join(err, d.lock.Close())
		}
	}
	_, err := s.endLease(ctx, d.id, d.lock)
	return err
}

// deadLeases locks and returns the leases that no process holds.
func (s *Store) deadLeases() (dead []deadLease, err error) {
	guard, err := lockDir(s.path("leases"), exclusive)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, guard)

	entries, err := os.ReadDir(s.path("leases"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		lock, err := lockFile(filepath.Join(s.path("leases"), e.Name(), "lock"), tryLock)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, closeAll(dead))
		}
		dead = append(dead, deadLease{e.Name(), lock})
	}
	return dead, nil
}

func closeAll(dead []deadLease) error {
	var errs []error
	for _, d := range dead {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}
