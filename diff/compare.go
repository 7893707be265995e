package diff

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// unchanged reports whether the upper directory holds an entry just as the lower ones do. Of a file with several
// names all are told, because a link in a layer needs the name that it links to.
func (w *walker) unchanged(ctx context.Context, c Change, n, base *node) (bool, error) {
	if nameCount(n) > 1 {
		return false, nil
	}
	return w.same(ctx, c, n, base)
}

// same compares an entry that is no directory with another one, without the names that either has elsewhere.
func (w *walker) same(ctx context.Context, c Change, n, base *node) (bool, error) {
	if base == nil || !w.sameMetadata(n, base) {
		return false, nil
	}
	switch {
	case n.isRegular():
		return w.compare.sameBytes(ctx, c.Path, n.data, base.data)
	case c.Mode&fs.ModeSymlink != 0:
		target, err := base.in.readlink(base.name)
		if err != nil {
			return false, &PathError{Op: "readlink", Path: c.Path, Err: err}
		}
		return target == c.Linkname, nil
	}
	return true, nil
}

// sameMetadata compares all that a layer keeps of an entry except its content.
func (w *walker) sameMetadata(a, b *node) bool {
	x, y := a.st, b.st
	return x.Mode == y.Mode && x.Uid == y.Uid && x.Gid == y.Gid && x.Rdev == y.Rdev &&
		(a.isDir() || x.Size == y.Size) && w.seconds(x) == w.seconds(y) &&
		slices.Equal(a.attrs.own, b.attrs.own)
}

// seconds is the modification time as a layer keeps it.
func (w *walker) seconds(st unix.Stat_t) int64 {
	sec, _ := st.Mtim.Unix()
	if w.opts.Epoch != nil {
		return min(sec, w.opts.Epoch.Unix())
	}
	return sec
}

const compareBuffer = 64 << 10 // bytes, for each of the two files

// comparer compares files, with the same buffers for all of them.
type comparer struct{ x, y []byte }

// sameBytes compares the content of two files of the same length.
func (b *comparer) sameBytes(ctx context.Context, path string, one, other *data) (same bool, err error) {
	if one.tree == other.tree && one.rel == other.rel {
		return true, nil
	}
	x, err := one.open(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	y, err := other.open(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, y.Close()) }()
	return b.sameStreams(ctx, x, y)
}

// sameStreams compares as many bytes as x has.
func (b *comparer) sameStreams(ctx context.Context, x, y io.Reader) (bool, error) {
	if b.x == nil {
		b.x, b.y = make([]byte, compareBuffer), make([]byte, compareBuffer)
	}
	for ctx.Err() == nil {
		n, err := x.Read(b.x)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if _, err := io.ReadFull(y, b.y[:n]); err != nil {
			return false, err
		}
		if !bytes.Equal(b.x[:n], b.y[:n]) {
			return false, nil
		}
	}
	return false, ctx.Err()
}
