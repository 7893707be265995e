package diff

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// inside keeps a lookup below the descriptor that it starts from, and follows no symbolic link on the way.
const inside = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// pathPiece is how much of a path goes into one system call. The kernel's own limit is PATH_MAX with the final zero.
const pathPiece = unix.PathMax - 1

// tree is a directory that is read through a descriptor of it, so that no path below it leads outside.
type tree struct {
	path string

	mu sync.RWMutex
	f  *os.File // nil once closed
}

func openTree(path string) (*tree, error) {
	f, err := openRoot(path)
	if err != nil {
		return nil, err
	}
	return &tree{path: path, f: f}, nil
}

func openRoot(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// close gives the descriptor back. The tree can be opened still, by its path.
func (t *tree) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.f.Close()
	t.f = nil
	return err
}

// open opens a path below the root, which may be longer than a system call takes. The caller closes the descriptor.
func (t *tree) open(rel string, flags int) (int, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	root := t.f
	if root == nil {
		f, err := openRoot(t.path)
		if err != nil {
			return -1, err
		}
		defer f.Close()
		root = f
	}
	return openBeneath(int(root.Fd()), rel, flags)
}

func openBeneath(root int, rel string, flags int) (int, error) {
	at := root
	for len(rel) > pathPiece {
		cut := strings.LastIndexByte(rel[:pathPiece], '/')
		if cut < 0 {
			return -1, unix.ENAMETOOLONG
		}
		next, err := openStep(root, at, rel[:cut], unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return -1, err
		}
		at, rel = next, rel[cut+1:]
	}
	return openStep(root, at, rel, flags)
}

// openStep opens a path below at, and closes at unless it is the root.
func openStep(root, at int, rel string, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: inside}
	fd, err := unix.Openat2(at, rel, &how)
	for errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		fd, err = unix.Openat2(at, rel, &how)
	}
	if at != root {
		err = errors.Join(err, unix.Close(at))
	}
	return fd, err
}

// fdPath is a path that leads through a descriptor, for system calls that take no descriptor.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// dir is a directory of a tree. It opens itself on first use and again after release.
type dir struct {
	tree *tree
	rel  string
	f    *os.File
}

// child is the directory below d with this name. It is not looked at before it is used.
func (d *dir) child(name string) *dir {
	if d.rel == "." {
		return &dir{tree: d.tree, rel: name}
	}
	return &dir{tree: d.tree, rel: d.rel + "/" + name}
}

func (d *dir) file() (*os.File, error) {
	if d.f == nil {
		fd, err := d.tree.open(d.rel, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return nil, err
		}
		d.f = os.NewFile(uintptr(fd), fdPath(fd))
	}
	return d.f, nil
}

// release gives the descriptor back, so that a deep walk does not hold one for each level.
func (d *dir) release() error {
	if d.f == nil {
		return nil
	}
	err := d.f.Close()
	d.f = nil
	return err
}

// list returns all entries in no order. The types are right also where the file system keeps none in directories.
func (d *dir) list() ([]fs.DirEntry, error) {
	f, err := d.file()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	return f.ReadDir(-1)
}

// stat describes an entry, or the directory itself as ".".
func (d *dir) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := d.file()
	if err != nil {
		return st, err
	}
	return st, ignoringEINTR(func() error {
		return unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (d *dir) readlink(name string) (string, error) {
	f, err := d.file()
	if err != nil {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// through is the path of an entry for system calls that take no descriptor.
func (d *dir) through(name string) (string, error) {
	f, err := d.file()
	if err != nil {
		return "", err
	}
	return f.Name() + "/" + name, nil
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
