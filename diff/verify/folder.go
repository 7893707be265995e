package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is a directory as a mount shows it, together with its part in the upper directory.
type folder struct {
	merged *os.File
	upper  *os.File // nil: the upper directory does not have it
	moved  bool     // its lower content, or that of a directory above, lives elsewhere
}

// mount shows the tree of an upper directory on the lower ones. Nothing is left to unmount: the mount is detached at
// once, and ends with the descriptors into it.
func (o Options) mount(scratch, upper string) (_ folder, err error) {
	point, empty := filepath.Join(scratch, "mount"), filepath.Join(scratch, "empty")
	if err := errors.Join(os.MkdirAll(point, 0o700), os.MkdirAll(empty, 0o700)); err != nil {
		return folder{}, err
	}
	top, err := os.Open(upper)
	if err != nil {
		return folder{}, err
	}
	// Overlayfs wants two directories at least.
	if err := o.mountAt(point, slices.Concat([]string{upper}, o.Lower, []string{empty})); err != nil {
		return folder{}, errors.Join(fmt.Errorf("mount %s to verify it: %w", upper, err), top.Close())
	}
	merged, err := os.Open(point)
	err = errors.Join(err, unix.Unmount(point, unix.MNT_DETACH))
	if err != nil {
		return folder{}, errors.Join(err, top.Close())
	}
	return folder{merged: merged, upper: top}, nil
}

// mountAt mounts directories, topmost first. They are named by descriptors, so that many fit into the one page that
// options have, whatever their paths hold.
func (o Options) mountAt(point string, dirs []string) error {
	names := make([]string, len(dirs))
	for i, dir := range dirs {
		f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		names[i] = fdPath(f, "")
	}
	options := "lowerdir=" + strings.Join(names, ":") + ",index=off"
	if o.UserXattr {
		options += ",userxattr"
	} else {
		options += ",redirect_dir=on,metacopy=on"
	}
	return unix.Mount("overlay", point, "overlay", unix.MS_RDONLY, options)
}

// fdPath is a path of a name in an open directory, or of the directory itself.
func fdPath(dir *os.File, name string) string {
	return strings.TrimSuffix("/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))+"/"+name, "/")
}

func (f folder) close() {
	_ = f.merged.Close() // both were only read
	if f.upper != nil {
		_ = f.upper.Close()
	}
}

// list returns the names in order, without those of sockets.
func (f folder) list() ([]string, error) {
	entries, err := f.merged.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type()&os.ModeSocket == 0 {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func (f folder) stat(name string) (st unix.Stat_t, err error) {
	return st, unix.Fstatat(int(f.merged.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
}

// has reports whether the upper directory holds the name itself.
func (f folder) has(name string) (bool, error) {
	if f.upper == nil {
		return false, nil
	}
	var st unix.Stat_t
	err := unix.Fstatat(int(f.upper.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// child opens the directory below f with this name. The caller closes it.
func (f folder) child(name, marks string) (folder, error) {
	merged, err := openAt(f.merged, name, unix.O_DIRECTORY)
	if err != nil {
		return folder{}, err
	}
	c := folder{merged: merged, moved: f.moved}
	if f.upper == nil {
		return c, nil
	}
	c.upper, err = openAt(f.upper, name, unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return c, nil
	}
	if err != nil {
		return folder{}, errors.Join(err, merged.Close())
	}
	if _, err := unix.Lgetxattr(fdPath(f.upper, name), marks+"redirect", nil); err == nil {
		c.moved = true
	}
	return c, nil
}

// content opens a regular file. The caller closes it.
func (f folder) content(name string) (io.ReadCloser, error) { return openAt(f.merged, name, 0) }

func openAt(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), "/proc/self/fd/"+strconv.Itoa(fd)), nil
}

func (f folder) readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.merged.Fd()), name, buf)
	return string(buf[:max(n, 0)]), err
}
