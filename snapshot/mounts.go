package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// unmountBelow detaches every mount at or below dir, the innermost first. Detaching does not wait for processes that
// still use the mount.
func unmountBelow(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for _, m := range slices.Backward(mounts) {
		err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
		}
	}
	return nil
}

// How long a mount may stay busy that is to be frozen: a process that was just killed leaves it within this time.
const (
	busyTries = 40
	busyPause = 25 * time.Millisecond
)

// unmountIdle unmounts dir for good: afterwards nothing can write to it. A process that stays in it is an error.
func unmountIdle(ctx context.Context, dir string) error {
	for try := 1; ; try++ {
		err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
		if err == nil {
			return os.Remove(dir)
		}
		if !errors.Is(err, unix.EBUSY) || try == busyTries {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(busyPause):
		}
	}
}

// removeMountpoint removes a directory that nothing is mounted on; one that its lease removed first is fine.
func removeMountpoint(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
