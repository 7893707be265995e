package snapshot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockMode is how a file is locked. Locks belong to the open file: they hold between goroutines as between processes,
// and the kernel drops them when the process dies.
type lockMode int

const (
	shared    lockMode = unix.LOCK_SH
	exclusive lockMode = unix.LOCK_EX
	tryLock   lockMode = unix.LOCK_EX | unix.LOCK_NB
)

// lockFile opens path, which is created if missing, and locks it. Closing the file ends the lock.
func lockFile(path string, mode lockMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return lock(f, mode)
}

// lockDir locks a directory that exists.
func lockDir(path string, mode lockMode) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return lock(f, mode)
}

func lock(f *os.File, mode lockMode) (*os.File, error) {
	for {
		err := unix.Flock(int(f.Fd()), int(mode))
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		default:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
	}
}
