// Package blocks remembers where the blobs of a store have which packed blocks, so that what one layer had packed is not
// packed again for another.
//
// All of it is derived: a file for each blob, which may be lost at any time, and which is believed only where the blob still
// has the bytes that it tells of.
package blocks

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/diff/compress"
)

// maxKnown is how many blocks an index knows at most, those of the newest blobs: some 10 MB of memory, for layers of 80 GB
// and more.
const maxKnown = 1 << 17

var table = crc32.MakeTable(crc32.Castagnoli)

// sum binds a packed block to its key, and finds rot on the disk.
func sum(key compress.BlockKey, packed []byte) uint32 {
	return crc32.Update(crc32.Checksum(key[:], table), table, packed)
}

// place is where a packed block lies.
type place struct {
	blob int32 // index
	size uint32
	sum  uint32
	at   int64 // bytes of the blob before it
}

// Index finds packed blocks. It reads its files when it is first asked, and may be used from several goroutines.
type Index struct {
	dir     string
	scratch string
	blobs   content.Store

	load  sync.Once
	mu    sync.RWMutex
	names []digest.Digest // of the blobs that places are in
	known map[compress.BlockKey]place
}

// Dir is where the files of a store's index are, under the root of the store.
func Dir(root string) string { return filepath.Join(root, "blocks") }

// New returns the index with its files in dir, which need not be there yet, over the blobs of a store. What is not whole
// is in scratch, a directory of the same file system that somebody else tidies up.
func New(dir, scratch string, blobs content.Store) *Index {
	return &Index{dir: dir, scratch: scratch, blobs: blobs, known: map[compress.BlockKey]place{}}
}

// Blob begins a blob that is packed, with the blocks that are known. The caller closes it.
func (x *Index) Blob(ctx context.Context) *Blob {
	return &Blob{index: x, ctx: ctx, open: map[int32]content.ReaderAt{}}
}

// read takes in the files of blobs that are there, newest first, until there is no more room, and removes those of others.
// A file that cannot be read is as good as none.
func (x *Index) read(ctx context.Context) {
	for _, f := range x.files() {
		if ctx.Err() != nil || len(x.known) >= maxKnown {
			return
		}
		if x.tidy(ctx, f) {
			continue
		}
		if made, err := readFile(filepath.Join(x.dir, f.Name())); err == nil {
			x.add(nameOf(f), made, false)
		}
	}
}

// Tidy removes the files of blobs that are gone.
func (x *Index) Tidy(ctx context.Context) {
	for _, f := range x.files() {
		x.tidy(ctx, f)
	}
}

// tidy removes a file whose blob is gone.
func (x *Index) tidy(ctx context.Context, f os.FileInfo) bool {
	_, err := x.blobs.Info(ctx, nameOf(f))
	gone := errdefs.IsNotFound(err)
	if gone {
		_ = os.Remove(filepath.Join(x.dir, f.Name()))
	}
	return gone
}

func nameOf(f os.FileInfo) digest.Digest { return digest.NewDigestFromEncoded(digest.SHA256, f.Name()) }

// files are all files, the newest one first.
func (x *Index) files() (files []os.FileInfo) {
	entries, _ := os.ReadDir(x.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	return files
}

// add makes the blocks of a blob known. Those of a newer blob take the place of others: what is packed next to it needs
// few files open.
func (x *Index) add(d digest.Digest, made []block, newer bool) {
	blob := int32(len(x.names))
	x.names = append(x.names, d)
	for _, b := range made {
		_, known := x.known[b.key]
		if known && newer || !known && len(x.known) < maxKnown {
			b.blob = blob
			x.known[b.key] = b.place
		}
	}
}

func (x *Index) find(ctx context.Context, key compress.BlockKey) (place, digest.Digest, bool) {
	x.load.Do(func() { x.read(ctx) })
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, ok := x.known[key]
	if !ok {
		return p, "", false
	}
	return p, x.names[p.blob], true
}

// Blob is a blob that is packed. It is the compress.Blocks of its writer.
type Blob struct {
	index *Index
	ctx   context.Context
	made  []block

	mu     sync.Mutex
	open   map[int32]content.ReaderAt // nil: it cannot be read
	reused int64
}

// block is one that was written.
type block struct {
	key compress.BlockKey
	place
}

// Find reads the packed block from a blob that has it, if it is still whole.
func (b *Blob) Find(key compress.BlockKey, dst []byte) ([]byte, bool) {
	p, name, ok := b.index.find(b.ctx, key)
	if !ok {
		return dst, false
	}
	r := b.reader(p.blob, name)
	if r == nil {
		return dst, false
	}
	packed := slices.Grow(dst, int(p.size))[:len(dst)+int(p.size)]
	fresh := packed[len(dst):]
	if n, _ := r.ReadAt(fresh, p.at); n < len(fresh) || sum(key, fresh) != p.sum {
		return dst, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reused += int64(p.size)
	return packed, true
}

// reader opens a blob once.
func (b *Blob) reader(blob int32, name digest.Digest) content.ReaderAt {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.open[blob]
	if !ok {
		r, _ = b.index.blobs.ReaderAt(b.ctx, ocispec.Descriptor{Digest: name})
		b.open[blob] = r
	}
	return r
}

// Made notes a block of the new blob.
func (b *Blob) Made(key compress.BlockKey, at int64, packed []byte) {
	b.made = append(b.made, block{key, place{size: uint32(len(packed)), sum: sum(key, packed), at: at}})
}

// Reused is how many bytes of the new blob came from others.
func (b *Blob) Reused() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reused
}

// Keep remembers the blocks of the new blob, which is in the store by now, under its digest.
func (b *Blob) Keep(d digest.Digest) error {
	if len(b.made) == 0 {
		return nil
	}
	x := b.index
	if err := writeFile(filepath.Join(x.dir, d.Encoded()), x.scratch, b.made); err != nil {
		return fmt.Errorf("remember the blocks of %s: %w", d, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.add(d, b.made, true)
	return nil
}

// Close closes what was opened, which was only read.
func (b *Blob) Close() {
	for _, r := range b.open {
		if r != nil {
			_ = r.Close()
		}
	}
}
