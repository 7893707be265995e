package export

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// File writes a file whole: what fn wrote takes path's place only when fn and the disk agreed to all of it, and before
// that, or after an error, path is what it was. A link is followed, and a device or pipe is written to directly.
func File(name string, fn func(w io.Writer) error) error {
	if err := writeFile(name, fn); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func writeFile(name string, fn func(w io.Writer) error) (err error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if target, err := os.Readlink(name); err == nil { // to what is not there yet
			return writeFile(beside(name, target), fn)
		}
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return writeThrough(name, fn)
	default:
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return replaceFile(root, filepath.Base(name), fn)
}

// beside is where a link of this name leads.
func beside(name, target string) string {
	if filepath.IsAbs(target) {
		return target
	}
	return filepath.Join(filepath.Dir(name), target)
}

// writeThrough writes to what is no regular file, which can't be replaced.
func writeThrough(name string, fn func(w io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(fn(f), f.Close())
}

// replaceFile puts a file in its place, and its name on the disk.
func replaceFile(root *os.Root, name string, fn func(w io.Writer) error) error {
	if err := putFile(root, name, fn); err != nil {
		return err
	}
	return syncDir(root, filepath.Dir(name))
}

// putFile writes a temporary file beside name, syncs and renames it. After an error nothing is left of it. A file that
// was there keeps its mode.
func putFile(root *os.Root, name string, fn func(w io.Writer) error) (err error) {
	temp := filepath.Join(filepath.Dir(name), ".lbuild-"+rand.Text())
	old, missing := root.Stat(name)
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // less the umask
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(root.Remove(temp)))
		}
	}()
	if missing == nil {
		err = f.Chmod(old.Mode().Perm())
	}
	if err == nil {
		err = fill(f, fn)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(temp, name)
}

func fill(f *os.File, fn func(w io.Writer) error) error {
	if err := fn(&sender{file: f}); err != nil {
		return err
	}
	return f.Sync()
}

// sender lets the disk begin with what is there, while more comes: otherwise it all waits for the sync at the end. That
// one also tells of errors.
type sender struct {
	file       *os.File
	size, sent int64 // bytes that were written, and of those that the disk was told of
}

// sendSize is how many bytes the disk is told of at once.
const sendSize = 8 << 20

func (s *sender) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	s.size += int64(n)
	if s.size-s.sent >= sendSize {
		_ = unix.SyncFileRange(int(s.file.Fd()), s.sent, s.size-s.sent, unix.SYNC_FILE_RANGE_WRITE)
		s.sent = s.size
	}
	return n, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
