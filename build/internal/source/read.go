package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// content reads a regular file once. It works on the bare descriptor, because an os.File costs several system calls
// more, and most files are small.
type content struct {
	fd   int // -1 when closed
	name string
	want *meta
	left int64
}

// openContent opens a file for reading that is still what m describes.
func (r *root) openContent(name string, m *meta) (*content, error) {
	// O_NONBLOCK: a fifo that took the place of the file must not hold up the build.
	fd, err := r.openFD(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	c := &content{fd: fd, name: name, want: m, left: m.size}
	if err := c.check(); err != nil {
		_ = c.Close() // the other error counts, and nothing was written
		return nil, err
	}
	return c, nil
}

// check returns why the open file is no longer what was selected.
func (c *content) check() error {
	var st unix.Stat_t
	if err := unix.Fstat(c.fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: c.name, Err: err}
	}
	got := newMeta(&st)
	if !got.same(c.want) {
		return fmt.Errorf("%q %w", c.name, ErrChanged)
	}
	return nil
}

// Read returns io.EOF only after all bytes, and only if the file is still the one that was selected.
func (c *content) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.check(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), c.left)]
	n, err := unix.Read(c.fd, p)
	for err == unix.EINTR {
		n, err = unix.Read(c.fd, p)
	}
	if err != nil {
		return 0, &fs.PathError{Op: "read", Path: c.name, Err: err}
	}
	if n == 0 && len(p) > 0 {
		return 0, fmt.Errorf("%q %w", c.name, ErrChanged)
	}
	c.left -= int64(n)
	return n, nil
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

// plain reports whether the file has no attributes at all, which is nearly always so and costs one system call.
func (c *content) plain() bool {
	n, err := unix.Flistxattr(c.fd, nil)
	return err == nil && n == 0
}

// scratch is what reading one file takes.
type scratch struct {
	hash *blake3.Hasher
	buf  []byte
}

func (t *Tree) scratch() *scratch {
	if s, ok := t.idle.Get().(*scratch); ok {
		return s
	}
	return &scratch{hash: blake3.New(), buf: make([]byte, readBuffer)}
}

// copyTo reads the rest of the file into w, looking at the context on the way.
func (c *content) copyTo(ctx context.Context, w io.Writer, buf []byte) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := c.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
