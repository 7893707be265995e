package snapshot

import (
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/continuity/sysx"
)

// copyMetadata copies owner, mode, extended attributes and time of the directory from to the directory to. Without from,
// to belongs to root, has mode 0755 and the time zero, whatever the umask and clock.
func copyMetadata(to, from string) error {
	if from == "" {
		return setDefaultMetadata(to)
	}
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := copyXattrs(to, from); err != nil {
		return err
	}
	if err := os.Chmod(to, info.Mode()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func setDefaultMetadata(dir string) error {
	if err := os.Lchown(dir, 0, 0); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return os.Chtimes(dir, time.Unix(0, 0), time.Unix(0, 0))
}

// copyXattrs leaves out trusted attributes: they are overlayfs's own, and true of one directory only.
func copyXattrs(to, from string) error {
	keys, err := sysx.LListxattr(from)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if strings.HasPrefix(key, "trusted.") {
			continue
		}
		value, err := sysx.LGetxattr(from, key)
		if err != nil {
			return err
		}
		if err := sysx.LSetxattr(to, key, value, 0); err != nil {
			return err
		}
	}
	return nil
}
