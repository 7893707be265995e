package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/continuity/sysx"
	"golang.org/x/sys/unix"
)

// findDir finds the directory that a stack of upper directories, the topmost first, shows at path; "" if it shows none.
// It follows no link. xattr is the store's opaqueXattr.
func findDir(stack []string, path, xattr string) (string, error) {
	for _, upper := range stack {
		found, last, err := findDirIn(upper, path, xattr)
		if err != nil || found != "" || last {
			return found, err
		}
	}
	return "", nil
}

// findDirIn looks into one upper directory; last means that it hides the path of those below.
func findDirIn(upper, path, xattr string) (found string, last bool, err error) {
	dir := upper
	for _, elem := range append([]string{"."}, strings.Split(path, "/")...) {
		dir = filepath.Join(dir, elem)
		info, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return "", last, nil
		}
		if err != nil {
			return "", false, err
		}
		if !info.IsDir() {
			return "", true, nil
		}
		if opaque(dir, xattr) {
			last = true
		}
	}
	return dir, last, nil
}

// opaqueXattr is the attribute by which a directory hides what lies below it, in this store's mounts.
func (s *Store) opaqueXattr() string {
	if s.userXattr {
		return "user.overlay.opaque"
	}
	return "trusted.overlay.opaque"
}

func opaque(dir, xattr string) bool {
	v, err := sysx.LGetxattr(dir, xattr)
	return err == nil && string(v) == "y"
}

func setOpaque(dir, xattr string) error { return unix.Lsetxattr(dir, xattr, []byte("y"), 0) }
