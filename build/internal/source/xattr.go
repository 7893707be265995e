package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/continuity/sysx"
	"golang.org/x/sys/unix"
)

// xattr is one extended attribute.
type xattr struct {
	name  string
	value []byte
}

// kept reports whether an attribute belongs to the file, not to the machine or to overlayfs.
func kept(name string) bool {
	switch name {
	case "security.capability", "system.posix_acl_access", "system.posix_acl_default":
		return true
	}
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

// procPath leads to an open file by its number, also when it was opened with O_PATH.
func procPath(f *os.File) string { return fdPath(int(f.Fd())) }

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// readXattrs reads the attributes that are kept, sorted by name.
func readXattrs(f *os.File) ([]xattr, error) { return xattrsOf(procPath(f), f.Name()) }

// xattrsOf reads the attributes of what a path through a descriptor leads to; name is for errors.
func xattrsOf(at, name string) ([]xattr, error) {
	names, err := sysx.Listxattr(at)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "listxattr", Path: name, Err: err}
	}
	var attrs []xattr
	slices.Sort(names)
	for _, attr := range names {
		if !kept(attr) {
			continue
		}
		value, err := sysx.Getxattr(at, attr)
		if err != nil {
			return nil, &fs.PathError{Op: "getxattr " + attr, Path: name, Err: err}
		}
		attrs = append(attrs, xattr{attr, value})
	}
	return attrs, nil
}

// writeXattrs sets attributes; those that are there already stay.
func writeXattrs(f *os.File, attrs []xattr) error {
	for _, a := range attrs {
		if err := unix.Setxattr(procPath(f), a.name, a.value, 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", a.name, err)
		}
	}
	return nil
}
