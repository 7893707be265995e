package diff

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Kind says what happened to a path.
type Kind uint8

// The zero Kind is none of these, so a forgotten one is seen.
const (
	// Add is a path that the lower layers do not have.
	Add Kind = iota + 1
	// Modify is a path that the lower layers have too, maybe as another type.
	Modify
	// Delete is a path that only the lower layers have.
	Delete
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Add:
		return "add"
	case Modify:
		return "modify"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Xattr is one extended attribute.
type Xattr struct {
	Name  string
	Value string
}

// Change is one difference between two trees. It is a value: it stays right when the walk goes on, and only Open
// touches the disk again.
type Change struct {
	Kind Kind
	// Path is relative and slash separated; "." is the root of the tree. Bytes are as the file system has them.
	Path string
	// Opaque marks a directory that hides all that the lower layers have below it. It is set only where they do
	// have a directory, and never with Explicit whiteouts.
	Opaque bool

	// The rest describes the entry that is there now, and is zero for Delete.

	// Mode has the type, the permissions and the setuid, setgid and sticky bits.
	Mode fs.FileMode
	// UID and GID are the owner.
	UID, GID int
	// Size is the length of a regular file, also of one that is a hard link.
	Size int64
	// ModTime is as the file system has it; UpperOptions.Epoch does not change it.
	ModTime time.Time
	// Linkname is the target of a symbolic link, as it is stored.
	Linkname string
	// Hardlink is the Path of the first name of the same file, for each further name; else empty.
	Hardlink string
	// Major and Minor are the number of a device.
	Major, Minor uint32
	// Xattrs are those that belong in a layer, sorted by name.
	Xattrs []Xattr

	data *data
	open func() (io.ReadCloser, error) // in the place of data
}

// WithContent is the change with bytes that lie elsewhere: Open calls open. Open must give as many bytes as Size says,
// or an error before the end; it may be called again, and from any goroutine.
func (c Change) WithContent(open func() (io.ReadCloser, error)) Change {
	c.data, c.open = nil, open
	return c
}

// Open opens the content of a regular file. It follows the overlay marks that keep content elsewhere, and it works
// during the walk and after it. It fails with ErrChanged if the file is not the one that was walked; so does Read when
// the file has another length or was written to by the time its end is reached. The caller closes the reader.
func (c Change) Open() (io.ReadCloser, error) {
	if c.open != nil {
		return c.open()
	}
	if c.data == nil {
		return nil, &PathError{Op: "open", Path: c.Path, Err: errNoContent}
	}
	r, err := c.data.open(c.Path)
	if err != nil {
		return nil, err // not r: a nil *content would be a reader that is not nil
	}
	return r, nil
}

// ReadAll reads a whole regular file into p, which is as long as Size. It promises what Open and Read do together, and
// takes fewer system calls: layers have many small files.
func (c Change) ReadAll(p []byte) error {
	if c.open != nil {
		return c.readOpened(p)
	}
	if c.data == nil {
		return &PathError{Op: "open", Path: c.Path, Err: errNoContent}
	}
	return c.data.readAll(c.Path, p)
}

// readOpened reads to the end, where the reader says whether all was well.
func (c Change) readOpened(p []byte) error {
	r, err := c.open()
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = &PathError{Op: "read", Path: c.Path, Err: ErrChanged}
	}
	if err == nil {
		var more [1]byte
		if n, end := io.ReadFull(r, more[:]); n > 0 {
			err = &PathError{Op: "read", Path: c.Path, Err: ErrChanged}
		} else if !errors.Is(end, io.EOF) {
			err = end
		}
	}
	return errors.Join(err, r.Close())
}
