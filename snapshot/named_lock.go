package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// maxLockPause is how long a waiter sleeps between two tries at most.
const maxLockPause = 20 * time.Millisecond

// Lock takes the lock of a name, any text, which one holder has at a time, be it a goroutine of this process or another
// process with the same root. It waits for the holder to release it or to die, or for the end of ctx, and in no order.
// The caller calls release, of which later calls return what the first did. A lease keeps no lock, nor does a lock
// anything.
func (s *Store) Lock(ctx context.Context, name string) (release func() error, err error) {
	for pause := time.Millisecond; ; pause = min(2*pause, maxLockPause) {
		release, ok, err := s.TryLock(name)
		if ok || err != nil {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// TryLock is Lock without waiting; ok is false if somebody has the lock. A process that opens the store has it for a
// moment, if its last holder died.
func (s *Store) TryLock(name string) (release func() error, ok bool, err error) {
	path := s.path("locks", digest.FromString(name).Encoded())
	f, err := lockLinked(path)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("lock %q: %w", name, err)
	}
	return sync.OnceValue(func() error { return unlink(f) }), true, nil
}

// lockLinked locks a file that has this path when it is locked: the holder before removes it as it releases it, so what
// was opened may have lost its name since.
func lockLinked(path string) (*os.File, error) {
	for {
		f, err := lockFile(path, tryLock)
		if err != nil {
			return nil, err
		}
		linked, err := isLinked(f)
		if linked {
			return f, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// isLinked says whether an open file is the one that has its name. Only who has its lock removes it.
func isLinked(f *os.File) (bool, error) {
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	found, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, found), err
}

// unlink removes a locked file and then drops its lock.
func unlink(f *os.File) error { return errors.Join(os.Remove(f.Name()), f.Close()) }

// removeDeadLocks removes the lock files of processes that died.
func (s *Store) removeDeadLocks() error {
	entries, err := os.ReadDir(s.path("locks"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		f, err := lockLinked(filepath.Join(s.path("locks"), e.Name()))
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err == nil {
			err = unlink(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
