package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/lbuild/lbuild/diff"
)

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	xattrRecord    = "SCHILY.xattr."
)

// ErrReservedName is the cause when a file has a name that in a layer means the deletion of another one.
var ErrReservedName = errors.New("the name means a deletion in a layer")

// Sizes that the format fixes.
const (
	tarBlock = 512          // bytes, of a header and of what files are rounded up to
	tarEnd   = 2 * tarBlock // bytes of zeros
)

// tarWriter writes changes as entries.
type tarWriter struct {
	out     *pipe
	hdr     ustar
	epoch   *time.Time
	entries int
}

// end writes the end of the archive.
func (t *tarWriter) end() error {
	_, err := t.out.Write(make([]byte, tarEnd))
	return err
}

// write writes the entries of one change.
// The content of a small file may have been read before.
func (t *tarWriter) write(ctx context.Context, c diff.Change, read *content) error {
	dir, name := path.Split(c.Path)
	if strings.HasPrefix(name, whiteoutPrefix) {
		return &diff.PathError{Op: "pack", Path: c.Path, Err: ErrReservedName}
	}
	if c.Kind == diff.Delete {
		return t.marker(c.Path, dir+whiteoutPrefix+name)
	}
	hdr, err := t.header(c)
	if err == nil {
		err = t.entry(hdr)
	}
	if err != nil {
		return &diff.PathError{Op: "pack", Path: c.Path, Err: err}
	}
	if c.Opaque {
		return t.marker(c.Path, c.Path+"/"+opaqueMarker)
	}
	if hdr.Typeflag == tar.TypeReg {
		return t.content(ctx, c, read)
	}
	return nil
}

// marker writes an empty file whose name says it all: whatever made it, its header is always the same.
func (t *tarWriter) marker(of, name string) error {
	err := t.entry(&tar.Header{Typeflag: tar.TypeReg, Name: name, ModTime: time.Unix(0, 0)})
	if err != nil {
		return &diff.PathError{Op: "pack", Path: of, Err: err}
	}
	return nil
}

// entry writes a header.
func (t *tarWriter) entry(hdr *tar.Header) error {
	b := t.hdr[:]
	if !t.hdr.write(hdr) {
		var err error
		if b, err = long(hdr); err != nil {
			return err
		}
	}
	t.entries++
	_, err := t.out.Write(b)
	return err
}

// header describes a change. It has no user and group names and no times but one: those are the machine's.
func (t *tarWriter) header(c diff.Change) (*tar.Header, error) {
	hdr := &tar.Header{
		Name:    c.Path,
		Mode:    tarMode(c.Mode),
		Uid:     c.UID,
		Gid:     c.GID,
		ModTime: t.clamp(c.ModTime),
	}
	for _, x := range c.Xattrs {
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = make(map[string]string, len(c.Xattrs))
		}
		hdr.PAXRecords[xattrRecord+x.Name] = x.Value
	}
	return hdr, describe(hdr, c)
}

// describe sets what depends on the type.
func describe(hdr *tar.Header, c diff.Change) error {
	if c.Hardlink != "" {
		hdr.Typeflag, hdr.Linkname = tar.TypeLink, c.Hardlink
		return nil
	}
	switch c.Mode.Type() {
	case 0:
		hdr.Typeflag, hdr.Size = tar.TypeReg, c.Size
	case fs.ModeDir:
		hdr.Typeflag, hdr.Name = tar.TypeDir, c.Path+"/"
	case fs.ModeSymlink:
		hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, c.Linkname
	case fs.ModeNamedPipe:
		hdr.Typeflag = tar.TypeFifo
	case fs.ModeDevice:
		hdr.Typeflag = tar.TypeBlock
	case fs.ModeDevice | fs.ModeCharDevice:
		hdr.Typeflag = tar.TypeChar
	default:
		return fmt.Errorf("a layer cannot hold %s", c.Mode)
	}
	hdr.Devmajor, hdr.Devminor = int64(c.Major), int64(c.Minor)
	return nil
}

// clamp cuts a time to whole seconds, not later than the epoch.
func (t *tarWriter) clamp(at time.Time) time.Time {
	if t.epoch != nil && at.After(*t.epoch) {
		at = *t.epoch
	}
	return time.Unix(at.Unix(), 0)
}

// tarMode is a mode without its type, which the header has of its own.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	if m&fs.ModeSetuid != 0 {
		mode |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		mode |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

// content copies a file, from memory if it was read before. A block may begin with it: the header before has a time, which
// differs more often.
func (t *tarWriter) content(ctx context.Context, c diff.Change, read *content) error {
	if read != nil && read.err != nil {
		return read.err
	}
	err := t.out.Cut(c.Path, tarBlock+(c.Size+tarBlock-1)&^(tarBlock-1)) // as long as its entry
	switch {
	case err != nil:
	case read != nil:
		_, err = t.out.Write(read.bytes)
	default:
		err = t.stream(ctx, c)
	}
	if err == nil {
		var zeros [tarBlock]byte
		_, err = t.out.Write(zeros[:-c.Size&(tarBlock-1)])
	}
	return err
}

// stream reads a file straight into the compressor. Its reader answers for it being whole; that the size is the one in the
// header is seen here too, because content may come from elsewhere.
func (t *tarWriter) stream(ctx context.Context, c diff.Change) (err error) {
	r, err := c.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	n, err := t.out.ReadFrom(io.LimitReader(cancelable{ctx, r}, c.Size+1))
	if err == nil && n != c.Size {
		err = &diff.PathError{Op: "read", Path: c.Path, Err: diff.ErrChanged}
	}
	return err
}

// cancelable is a reader that ends with its context.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
