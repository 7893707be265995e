package verify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

const compareBuffer = 128 << 10 // bytes, for each of two files

// comparer walks two trees side by side: want is what the upper directory makes, got what the layer makes.
type comparer struct {
	opts       Options
	want, got  links
	one, other []byte // buffers
}

// pair is one name in both trees.
type pair struct {
	path, name    string
	want, got     folder // that it is in
	was, is       unix.Stat_t
	packed, newly bool // it is in the upper directory, and in the unpacked layer
}

func (c *comparer) root(ctx context.Context, want, got folder) error {
	p := pair{path: ".", name: ".", want: want, got: got}
	if err := p.look(); err != nil {
		return err
	}
	p.is.Mtim = p.was.Mtim
	if err := c.metadata(p); err != nil {
		return err
	}
	return c.directory(ctx, p.path, want, got)
}

// directory compares the content of a directory.
func (c *comparer) directory(ctx context.Context, path string, want, got folder) error {
	names, err := sameNames(path, want, got)
	if err != nil {
		return err
	}
	for _, name := range names {
		p := pair{path: name, name: name, want: want, got: got}
		if path != "." {
			p.path = path + "/" + name
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.entry(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// sameNames lists a directory, which must hold the same names in both trees.
func sameNames(path string, want, got folder) ([]string, error) {
	was, err := want.list()
	if err != nil {
		return nil, difference(path, "%w", err)
	}
	is, err := got.list()
	if err != nil {
		return nil, difference(path, "%w", err)
	}
	for _, name := range was {
		if _, ok := slices.BinarySearch(is, name); !ok {
			return nil, difference(path, "the layer lacks the name %q", name)
		}
	}
	for _, name := range is {
		if _, ok := slices.BinarySearch(was, name); !ok {
			return nil, difference(path, "the layer leaves the name %q", name)
		}
	}
	return was, nil
}

// look reads what the name is in both trees.
func (p *pair) look() error {
	var err error
	if p.packed, err = p.want.has(p.name); err == nil {
		p.newly, err = p.got.has(p.name)
	}
	if err == nil {
		p.was, err = p.want.stat(p.name)
	}
	if err == nil {
		p.is, err = p.got.stat(p.name)
	}
	if err != nil {
		return difference(p.path, "%w", err)
	}
	return nil
}

// entry compares one name.
func (c *comparer) entry(ctx context.Context, p pair) error {
	if err := p.look(); err != nil {
		return err
	}
	if !p.packed && !p.newly && !p.want.moved {
		return nil // both trees show what the lower directories have
	}
	if err := c.metadata(p); err != nil {
		return err
	}
	switch p.was.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.descend(ctx, p)
	case unix.S_IFREG:
		if err := c.content(ctx, p); err != nil {
			return err
		}
	case unix.S_IFLNK:
		if err := p.target(); err != nil {
			return err
		}
	}
	return c.links(p)
}

func (c *comparer) descend(ctx context.Context, p pair) error {
	want, err := p.want.child(p.name, c.opts.marks())
	if err != nil {
		return difference(p.path, "%w", err)
	}
	defer want.close()
	got, err := p.got.child(p.name, c.opts.marks())
	if err != nil {
		return difference(p.path, "%w", err)
	}
	defer got.close()
	return c.directory(ctx, p.path, want, got)
}

// metadata compares all but content and links.
func (c *comparer) metadata(p pair) error {
	was, is := p.was, p.is
	isDir := was.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case was.Mode&unix.S_IFMT != is.Mode&unix.S_IFMT:
		return difference(p.path, "it is a %s, and a %s in the layer", typeName(was.Mode), typeName(is.Mode))
	case was.Mode != is.Mode:
		return difference(p.path, "its mode is %04o, and %04o in the layer", was.Mode&0o7777, is.Mode&0o7777)
	case was.Uid != is.Uid || was.Gid != is.Gid:
		return difference(p.path, "its owner is %d:%d, and %d:%d in the layer", was.Uid, was.Gid, is.Uid, is.Gid)
	case was.Rdev != is.Rdev:
		return difference(p.path, "it is the device %d:%d, and %d:%d in the layer",
			unix.Major(was.Rdev), unix.Minor(was.Rdev), unix.Major(is.Rdev), unix.Minor(is.Rdev))
	case !isDir && was.Size != is.Size:
		return difference(p.path, "its size is %d, and %d in the layer", was.Size, is.Size)
	}
	if was, is := c.seconds(was), c.seconds(is); was != is {
		return difference(p.path, "its time is %d, and %d in the layer", was, is)
	}
	return c.xattrs(p)
}

var typeNames = map[uint32]string{
	unix.S_IFREG: "regular file", unix.S_IFDIR: "directory", unix.S_IFLNK: "symbolic link", unix.S_IFIFO: "fifo",
	unix.S_IFCHR: "character device", unix.S_IFBLK: "block device",
}

func typeName(mode uint32) string { return typeNames[mode&unix.S_IFMT] }

// latest is the last time that containerd unpacks: the nanoseconds of a later one need more than 64 bits.
const latest = math.MaxInt64 / 1_000_000_000 // seconds

// seconds is the modification time as a layer holds it and containerd unpacks it.
func (c *comparer) seconds(st unix.Stat_t) int64 {
	sec, _ := st.Mtim.Unix()
	if c.opts.Epoch != nil {
		sec = min(sec, c.opts.Epoch.Unix())
	}
	if sec < 0 || sec > latest {
		return 0
	}
	return sec
}

func (c *comparer) xattrs(p pair) error {
	// The kernel hides the marks of a mount; what has such a name in it is a file's own.
	was, err := xattrs(fdPath(p.want.merged, p.name), "")
	if err != nil {
		return difference(p.path, "%w", err)
	}
	is, err := xattrs(fdPath(p.got.merged, p.name), "")
	if err != nil {
		return difference(p.path, "%w", err)
	}
	if maps.Equal(was, is) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if value, ok := is[name]; !ok || value != was[name] {
			return difference(p.path, "its attribute %s is %q, and %q in the layer", name, was[name], value)
		}
	}
	return difference(p.path, "the layer has attributes that it has not: %q", slices.Sorted(maps.Keys(is)))
}

func (p pair) target() error {
	was, err := p.want.readlink(p.name)
	if err != nil {
		return difference(p.path, "%w", err)
	}
	is, err := p.got.readlink(p.name)
	if err != nil {
		return difference(p.path, "%w", err)
	}
	if was != is {
		return difference(p.path, "it links to %q, and to %q in the layer", was, is)
	}
	return nil
}

// content compares files that have the same size.
func (c *comparer) content(ctx context.Context, p pair) error {
	was, err := p.want.content(p.name)
	if err != nil {
		return difference(p.path, "%w", err)
	}
	defer was.Close()
	is, err := p.got.content(p.name)
	if err != nil {
		return difference(p.path, "%w", err)
	}
	defer is.Close()
	for at := int64(0); ctx.Err() == nil; {
		n, err := io.ReadFull(was, c.one)
		m, errOther := io.ReadFull(is, c.other)
		if !bytes.Equal(c.one[:n], c.other[:m]) {
			return difference(p.path, "its content differs from that in the layer after byte %d", at)
		}
		at += int64(n)
		if ended(err) && ended(errOther) {
			return nil
		}
		if err := errors.Join(err, errOther); err != nil {
			return difference(p.path, "%w", err)
		}
	}
	return ctx.Err()
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
