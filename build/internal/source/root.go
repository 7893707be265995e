package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one path may lead through.
const maxLinks = 255

// root is a directory that no path leads out of, whatever links its content holds.
// Paths in it are canonical: relative, clean, without links; "." is the root itself.
type root struct{ *os.File }

func openRoot(dir string) (*root, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &root{f}, nil
}

// open opens what lies at a canonical path. A link on the way is an error; a link at its end
// can only be opened with O_PATH. The caller closes the file.
func (r *root) open(name string, flags int) (*os.File, error) {
	fd, err := r.openFD(name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openFD opens as open does. The caller closes the descriptor.
func (r *root) openFD(name string, flags int) (int, error) {
	if len(name) >= unix.PathMax {
		return r.openFar(name, flags)
	}
	how := unix.OpenHow{
		Flags:   uint64(flags) | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(int(r.Fd()), name, &how)
	for err == unix.EINTR {
		fd, err = unix.Openat2(int(r.Fd()), name, &how)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// openFar opens what lies at a path that is too long for the kernel, part by part.
func (r *root) openFar(name string, flags int) (int, error) {
	cut := strings.LastIndexByte(name[:unix.PathMax], '/')
	if cut < 0 {
		return -1, &fs.PathError{Op: "open", Path: name, Err: unix.ENAMETOOLONG}
	}
	part, err := r.open(name[:cut], unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	fd, err := (&root{part}).openFD(name[cut+1:], flags)
	if closeErr := part.Close(); closeErr != nil && err == nil {
		return -1, errors.Join(closeErr, unix.Close(fd))
	}
	return fd, err
}

// openRegular opens a file for reading that is still what m describes.
func (r *root) openRegular(name string, m *meta) (*os.File, error) {
	// O_NONBLOCK: a fifo that took the place of the file must not hold up the build.
	f, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if err := unchanged(f, m); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unchanged returns why an open file is no longer what m describes.
func unchanged(f *os.File, m *meta) error {
	got, err := statFile(f)
	if err == nil && !got.same(m) {
		err = fmt.Errorf("%q %w", f.Name(), ErrChanged)
	}
	return err
}

// list opens a directory and gives the names in it, sorted. The caller closes the directory.
func (r *root) list(dir string) (*os.File, []string, error) {
	f, err := r.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, nil, err
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	slices.Sort(names)
	return f, names, nil
}

func statFile(f *os.File) (meta, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return meta{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return newMeta(&st), nil
}

// statAt is what lies under name in a directory; a link is not followed.
func statAt(dir *os.File, name string) (meta, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return meta{}, &fs.PathError{Op: "stat", Path: path.Join(dir.Name(), name), Err: err}
	}
	return newMeta(&st), nil
}

// look gives what lies at a canonical path, and the target if that is a link.
func (r *root) look(name string) (m meta, target string, err error) {
	f, err := r.open(name, unix.O_PATH)
	if err != nil {
		return meta{}, "", err
	}
	defer f.Close()
	if m, err = statFile(f); err != nil || !m.isLink() {
		return m, "", err
	}
	target, err = readlink(f)
	return m, target, err
}

// readlink is the target of a link that was opened with O_PATH.
func readlink(f *os.File) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: f.Name(), Err: err}
	}
	return string(buf[:n]), nil
}

// place is where a name leads.
type place struct {
	path  string // canonical
	meta  meta   // of what is there
	found bool
	links []string // canonical paths of the links on the way
	left  bool     // a link is absolute, or leads above the root
}

// resolve follows name as after a chroot to the root, the last part too. What does not exist counts as
// a plain name, so that it can be created at the place.
func (r *root) resolve(name string) (place, error) {
	var p place
	var at []string
	todo := strings.Split(name, "/")
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			p.left = p.left || len(at) == 0
			at = at[:max(len(at)-1, 0)]
			continue
		}
		at = append(at, part)
		target, err := r.target(at)
		if err != nil {
			return place{}, err
		}
		if target == "" {
			continue
		}
		if p.links = append(p.links, path.Join(at...)); len(p.links) > maxLinks {
			return place{}, &fs.PathError{Op: "resolve", Path: name, Err: unix.ELOOP}
		}
		at = at[:len(at)-1]
		if path.IsAbs(target) {
			at, p.left = at[:0], true
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return r.arrive(p, at)
}

// target is the target of the link at a path, or "".
func (r *root) target(at []string) (string, error) {
	_, target, err := r.look(path.Join(at...))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return target, err
}

// arrive fills in what lies at the end of the way.
func (r *root) arrive(p place, at []string) (place, error) {
	p.path = path.Join(append([]string{"."}, at...)...)
	m, _, err := r.look(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	p.meta, p.found = m, err == nil
	return p, err
}
