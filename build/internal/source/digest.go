package source

import (
	"context"
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
const digestFormat = "lbuild selection 2"

const readBuffer = 64 << 10 // bytes, for each file that is read at the same time

// sum is the digest of one entry: of its extended attributes, and of its bytes, link target or device number. It is
// BLAKE3, which takes a fraction of the time of SHA-256 where the processor has no instructions for that.
type sum [32]byte

// Digest is the digest of all that Copy would read: names, types, modes, owners, extended attributes, link targets,
// device numbers, hard links and bytes. Times and places don't count, nor does the metadata of a directory whose
// contents are copied. Files are read in parallel, unless Placed has read them or the tree's DigestCache knows them.
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
	if err := it.sum(ctx); err != nil {
		return err
	}
	r := recorder{h: h, twins: map[inode]string{}}
	if it.node.meta.isDir() {
		field(h, "contents")
		number(h, uint64(count(it.node.kids)))
		r.walk(nil, it.node.kids)
		return nil
	}
	field(h, "entry", it.name)
	number(h, 1)
	r.record(nil, &it.node)
	return nil
}

func count(kids []node) int {
	n := len(kids)
	for i := range kids {
		n += count(kids[i].kids)
	}
	return n
}

// recorder hashes the entries of an item, parents first. Every field says where it ends, so that no two lists of entries
// look alike.
type recorder struct {
	h     hash.Hash
	twins map[inode]string // first names of files with several
	buf   []byte
}

func (r *recorder) walk(dir []byte, kids []node) {
	room := len(dir)
	for i := range kids {
		k := &kids[i]
		dir = append(dir[:room], k.name...)
		r.record(dir, k)
		if len(k.kids) > 0 {
			dir = append(dir, '/')
			r.walk(dir, k.kids)
		}
	}
}

// record hashes one entry: its name relative to what is copied, the earlier name of the same file or "", and the rest.
func (r *recorder) record(name []byte, n *node) {
	twin := ""
	if n.meta.isTwin() {
		if twin = r.twins[n.meta.inode()]; twin == "" {
			r.twins[n.meta.inode()] = string(name)
		}
	}
	mode := n.meta.mode
	if n.meta.isLink() {
		mode = unix.S_IFLNK // the permissions of a link mean nothing
	}
	b := append(appendNumbers(r.buf[:0], uint64(len(name))), name...)
	b = append(appendNumbers(b, uint64(len(twin))), twin...)
	b = appendNumbers(b, uint64(mode), uint64(n.meta.uid), uint64(n.meta.gid))
	if twin == "" {
		b = append(b, n.sum[:]...)
	}
	r.h.Write(b)
	r.buf = b
}

// sum fills in the sums that are not known, reading files at the same time.
func (it *item) sum(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	s := summer{tree: it.tree, group: g, twins: map[inode]bool{}}
	if it.node.meta.isDir() {
		s.walk(ctx, it.path, it.node.kids)
	} else {
		s.entry(ctx, it.path, &it.node)
	}
	return g.Wait()
}

type summer struct {
	tree  *Tree
	group *errgroup.Group
	twins map[inode]bool
}

func (s *summer) walk(ctx context.Context, dir string, kids []node) {
	for i := range kids {
		if ctx.Err() != nil {
			return
		}
		k := &kids[i]
		at := path.Join(dir, k.name)
		s.entry(ctx, at, k)
		s.walk(ctx, at, k.kids)
	}
}

func (s *summer) entry(ctx context.Context, at string, n *node) {
	if n.meta.isTwin() {
		if s.twins[n.meta.inode()] {
			return
		}
		s.twins[n.meta.inode()] = true
	}
	if n.known || n.meta.isRegular() && s.tree.recall(at, &n.meta, &n.sum) {
		n.known = true
		return
	}
	s.group.Go(func() error { return s.tree.sumEntry(ctx, at, n) })
}

func (t *Tree) sumEntry(ctx context.Context, at string, n *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := t.scratch()
	defer t.idle.Put(s)
	s.hash.Reset()
	if err := t.hashEntry(ctx, s, at, &n.meta); err != nil {
		return fmt.Errorf("digest of %q: %w", at, err)
	}
	t.found(at, n, s.hash)
	return nil
}

// found keeps the sum of an entry.
func (t *Tree) found(at string, n *node, h hash.Hash) {
	h.Sum(n.sum[:0])
	n.known = true
	if n.meta.isRegular() {
		t.remember(at, &n.meta, n.sum)
	}
}

// hashEntry writes what the entry is apart from its name, mode and owner.
func (t *Tree) hashEntry(ctx context.Context, s *scratch, at string, m *meta) error {
	if m.isRegular() {
		return t.hashFile(ctx, s, at, m)
	}
	f, err := t.root.open(at, unix.O_PATH)
	if err != nil {
		return err
	}
	defer f.Close()
	if !m.isDir() { // which only has attributes here, and changes with each name in it
		if err := unchanged(f, m); err != nil {
			return err
		}
	}
	if m.isLink() {
		target, err := readlink(f)
		field(s.hash, target)
		return err
	}
	number(s.hash, m.rdev)
	attrs, err := readXattrs(f)
	fieldXattrs(s.hash, attrs)
	return err
}

func (t *Tree) hashFile(ctx context.Context, s *scratch, at string, m *meta) error {
	c, err := t.root.openContent(at, m)
	if err != nil {
		return err
	}
	defer c.Close()
	var attrs []xattr
	if !c.plain() {
		if attrs, err = xattrsOf(fdPath(c.fd), at); err != nil {
			return err
		}
	}
	fieldXattrs(s.hash, attrs)
	return c.copyTo(ctx, s.hash, s.buf)
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
	h.Write(appendNumbers(nil, values...))
}

func appendNumbers(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}
