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

// lookup finds the directory that a stack of upper directories, the topmost first, shows at path; "" if it shows none.
func lookup(stack []string, path string) (string, error) {
	for _, upper := range stack {
		found, last, err := lookupIn(upper, path)
		if err != nil || found != "" || last {
			return found, err
		}
	}
	return "", nil
}

// lookupIn looks into one upper directory; last means that it hides the path of those below.
func lookupIn(upper, path string) (found string, last bool, err error) {
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
		if opaque(dir) {
			last = true
		}
	}
	return dir, last, nil
}

const opaqueXattr = "trusted.overlay.opaque"

func opaque(dir string) bool {
	v, err := sysx.LGetxattr(dir, opaqueXattr)
	return err == nil && string(v) == "y"
}

func setOpaque(dir string) error { return unix.Lsetxattr(dir, opaqueXattr, []byte("y"), 0) }

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
