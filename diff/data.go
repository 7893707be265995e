package diff

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// data says where the bytes of a regular file are, and what the file looked like when it was walked.
type data struct {
	tree *tree
	rel  string
	st   unix.Stat_t
	size int64 // that of the change; st has its own where the bytes live in another layer
}

// open opens the content, for a change with this path.
func (d *data) open(path string) (*content, error) {
	c := &content{path: path, want: d, left: d.size, holes: d.sparse()}
	if err := c.open(); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, errors.Join(&PathError{Op: "open", Path: path, Err: err}, c.Close())
	}
	return c, nil
}

// readAll fills p with the content. One look at the file, after its last byte, tells whether it changed before or since.
func (d *data) readAll(path string, p []byte) error {
	c := content{path: path, want: d, left: d.size, holes: d.sparse()}
	if int64(len(p)) != d.size {
		return &PathError{Op: "read", Path: path, Err: io.ErrShortBuffer}
	}
	err := c.open()
	if err != nil {
		return err
	}
	for err == nil {
		var n int
		n, err = c.Read(p)
		p = p[n:]
	}
	if errors.Is(err, io.EOF) {
		err = nil
	} else if changed := c.check(); errors.Is(changed, ErrChanged) {
		err = &PathError{Op: "read", Path: path, Err: changed} // whatever became of it, it could not be read for that
	}
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}

// hasHoles reports whether the file has a hole before its end.
func (d *data) hasHoles(path string) (bool, error) {
	c, err := d.open(path)
	if err != nil {
		return false, err
	}
	hole, err := unix.Seek(c.fd, 0, unix.SEEK_HOLE)
	if err != nil {
		err = &PathError{Op: "read", Path: path, Err: err}
	}
	return hole < d.st.Size, errors.Join(err, c.Close())
}

// vanished turns the errors of a path that was there a moment ago into ErrChanged.
func vanished(err error) error {
	for _, gone := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
	}
	return err
}

const statBlock = 512 // bytes, whatever the file system's own block is

// sparse reports whether the file takes less than its size on disk: it has holes, or is compressed.
func (d *data) sparse() bool { return d.st.Blocks*statBlock < d.st.Size }

// content reads a file once and knows what it must find. It works on the bare descriptor, because an os.File costs
// several system calls more, and most files are small.
type content struct {
	fd    int // -1 when closed
	path  string
	want  *data
	left  int64
	holes bool
	// until is where the known stretch ends: a hole if inHole, else data.
	until  int64
	inHole bool
}

// Read returns io.EOF only after all bytes, and only if the file is still the one that was walked.
func (c *content) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.end()
	}
	p = p[:min(int64(len(p)), c.left)]
	n, err := c.read(p)
	c.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		err = ErrChanged
	}
	return n, &PathError{Op: "read", Path: c.path, Err: err}
}

// open opens the file, whatever it is by now.
func (c *content) open() (err error) {
	c.fd, err = c.want.tree.open(c.want.rel, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) {
		// Only the owner may leave the access time alone.
		c.fd, err = c.want.tree.open(c.want.rel, unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		return &PathError{Op: "open", Path: c.path, Err: vanished(err)}
	}
	return nil
}

func (c *content) read(p []byte) (int, error) {
	at := c.want.size - c.left
	if !c.holes {
		return c.readAt(p, at)
	}
	if at >= c.until {
		if err := c.stretch(at); err != nil {
			return 0, err
		}
	}
	p = p[:min(int64(len(p)), c.until-at)]
	if c.inHole {
		clear(p)
		return len(p), nil
	}
	return c.readAt(p, at)
}

func (c *content) readAt(p []byte, at int64) (n int, err error) {
	err = ignoringEINTR(func() error {
		n, err = unix.Pread(c.fd, p, at)
		return err
	})
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

// stretch finds out where the hole or data that holds this offset ends. Holes are told by the file system and not read.
func (c *content) stretch(at int64) error {
	next, err := unix.Seek(c.fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		c.inHole, c.until = true, c.want.size
		return nil
	case err != nil:
		return err
	case next > at:
		c.inHole, c.until = true, min(next, c.want.size)
		return nil
	}
	c.inHole = false
	c.until, err = unix.Seek(c.fd, at, unix.SEEK_HOLE)
	return err
}

func (c *content) end() error {
	if err := c.check(); err != nil {
		return &PathError{Op: "read", Path: c.path, Err: err}
	}
	return io.EOF
}

// check compares the open file with the one that was walked. The change time moves with each write and rename.
func (c *content) check() error {
	var st unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Fstat(c.fd, &st) }); err != nil {
		return err
	}
	was := c.want.st
	same := st.Dev == was.Dev && st.Ino == was.Ino && st.Size == was.Size &&
		st.Mode == was.Mode && st.Mtim == was.Mtim && st.Ctim == was.Ctim
	if !same {
		return ErrChanged
	}
	return nil
}

// Close gives the descriptor back.
func (c *content) Close() error {
	if c.fd < 0 {
		return os.ErrClosed
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}
