package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"path"
	"runtime"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// digestFormat goes into every digest; it changes with the encoding below.
const digestFormat = "lbuild selection 1"

const readBuffer = 64 << 10 // bytes, for each file that is read at the same time

// sum is the digest of one entry: of its attributes, and of its bytes, link target or device number.
type sum [sha256.Size]byte

// record is one entry of a selection with what is hashed of it.
type record struct {
	name string // relative to what is copied
	path string // in the tree
	meta *meta
	twin string // name of an earlier hard link to the same file in the same item, or ""
	sum  sum
}

// Digest is the digest of all that Copy would read: names, types, modes, owners, extended attributes, link targets,
// device numbers, hard links and bytes. Times and places don't count, nor does the metadata of a directory whose
// contents are copied. Files are read in parallel.
func (s *Selection) Digest(ctx context.Context) (digest.Digest, error) {
	h := digest.SHA256.Hash()
	field(h, digestFormat)
	for i := range s.items {
		if err := s.items[i].hash(ctx, h); err != nil {
			return "", err
		}
	}
	return digest.NewDigest(digest.SHA256, h), nil
}

func (it *item) hash(ctx context.Context, h hash.Hash) error {
	if it.tree == nil {
		field(h, "inline", it.name, string(it.inline))
		return nil
	}
	if it.node.meta.isDir() {
		field(h, "contents")
	} else {
		field(h, "entry", it.name)
	}
	records := it.records()
	if err := it.tree.sum(ctx, records); err != nil {
		return err
	}
	number(h, uint64(len(records)))
	for i := range records {
		records[i].hash(h)
	}
	return nil
}

// records lists what the item holds, parents first.
func (it *item) records() []record {
	l := lister{seen: map[inode]string{}}
	if !it.node.meta.isDir() {
		l.add("", it.path, &it.node.meta)
		return l.records
	}
	l.walk("", it.path, it.node.kids)
	return l.records
}

type lister struct {
	records []record
	seen    map[inode]string
}

func (l *lister) walk(name, dir string, kids []node) {
	for i := range kids {
		k := &kids[i]
		below := path.Join(name, k.name)
		l.add(below, path.Join(dir, k.name), &k.meta)
		l.walk(below, path.Join(dir, k.name), k.kids)
	}
}

func (l *lister) add(name, at string, m *meta) {
	r := record{name: name, path: at, meta: m}
	if m.isRegular() && m.links > 1 {
		if r.twin = l.seen[m.inode()]; r.twin == "" {
			l.seen[m.inode()] = name
		}
	}
	l.records = append(l.records, r)
}

// hash writes the record; every field says where it ends, so that no two lists of records look alike.
func (r *record) hash(h hash.Hash) {
	mode := r.meta.mode
	if r.meta.isLink() {
		mode = unix.S_IFLNK // the permissions of a link mean nothing
	}
	field(h, r.name, r.twin)
	number(h, uint64(mode), uint64(r.meta.uid), uint64(r.meta.gid))
	h.Write(r.sum[:])
}

// sum fills in the sums of records, reading files at the same time.
func (t *Tree) sum(ctx context.Context, records []record) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range records {
		r := &records[i]
		if r.twin != "" {
			continue
		}
		if r.meta.isRegular() && t.opts.Digests.find(t.key(r), &r.sum) {
			continue
		}
		g.Go(func() error { return t.sumEntry(ctx, r) })
		if ctx.Err() != nil {
			break
		}
	}
	return g.Wait()
}

func (t *Tree) key(r *record) fileKey { return newFileKey(path.Join(t.dir, r.path), r.meta) }

func (t *Tree) sumEntry(ctx context.Context, r *record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h := sha256.New()
	if err := t.hashEntry(ctx, h, r); err != nil {
		return fmt.Errorf("digest of %q: %w", r.path, err)
	}
	h.Sum(r.sum[:0])
	if r.meta.isRegular() {
		t.opts.Digests.add(t.key(r), r.sum)
	}
	return nil
}

// hashEntry writes what the entry is apart from its name, mode and owner.
func (t *Tree) hashEntry(ctx context.Context, h hash.Hash, r *record) error {
	if r.meta.isRegular() {
		return t.hashFile(ctx, h, r)
	}
	f, err := t.root.open(r.path, unix.O_PATH)
	if err != nil {
		return err
	}
	defer f.Close()
	if r.meta.isLink() {
		target, err := readlink(f)
		field(h, target)
		return err
	}
	number(h, r.meta.rdev)
	attrs, err := readXattrs(f)
	fieldXattrs(h, attrs)
	return err
}

func (t *Tree) hashFile(ctx context.Context, h hash.Hash, r *record) error {
	f, err := t.root.openRegular(r.path, r.meta)
	if err != nil {
		return err
	}
	defer f.Close()
	attrs, err := readXattrs(f)
	if err != nil {
		return err
	}
	fieldXattrs(h, attrs)
	n, err := io.CopyBuffer(h, &cancelable{ctx, f}, make([]byte, min(readBuffer, r.meta.size+1)))
	if err == nil && n != r.meta.size {
		err = ErrChanged
	}
	return err
}

// cancelable is a reader that ends with the context, in the middle of a large file too. It has no WriteTo, with which
// CopyBuffer would take another buffer than the one that it is given.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// fieldXattrs writes attributes, with their number first.
func fieldXattrs(h hash.Hash, attrs []xattr) {
	number(h, uint64(len(attrs)))
	for _, a := range attrs {
		field(h, a.name, string(a.value))
	}
}

// field writes texts, each behind its length.
func field(h hash.Hash, texts ...string) {
	for _, s := range texts {
		number(h, uint64(len(s)))
		io.WriteString(h, s) //nolint:errcheck // a hash never fails
	}
}

func number(h hash.Hash, values ...uint64) {
	var b [8]byte
	for _, v := range values {
		binary.BigEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
}
