package compress

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/zeebo/blake3"
)

// BlockKey names a block by all that its packed form depends on: the ID of the codec, the bytes of the block, and those
// before it that it may refer to. It is a BLAKE3 of them, so nobody can make two blocks of one key.
type BlockKey [32]byte

// Blocks knows packed blocks of earlier streams, so that none has to be packed again. It never changes what a writer
// writes, only how soon.
type Blocks interface {
	// Find appends the packed form of a block to dst, if it has it; none is empty. Several goroutines call it at once.
	Find(key BlockKey, dst []byte) (packed []byte, ok bool)
	// Made says that a block with this packed form was written, and how many bytes of the blob are before it. The calls are
	// in the order of the blob, from one goroutine at a time. packed is the writer's again when Made returns.
	Made(key BlockKey, at int64, packed []byte)
}

// reuse is how a writer knows blocks.
type reuse struct {
	id     string // of the codec
	blocks Blocks
}

// Reuse lets the writer take packed blocks from b, and tells b of those that it writes. A stream of a single block is
// always packed, and b not told. It is called before anything is written, and does nothing where nothing is compressed.
func (w *Writer) Reuse(b Blocks) {
	if b != nil && w.shape.workers > 0 {
		w.reuse = &reuse{id: w.codec.ID(), blocks: b}
	}
}

// leastShare is what part of a full block each has at least before a cut may end it: a small one is packed less well.
const leastShare = 4

// Cut says that so many bytes come next that belong together, and by what name they do also in other streams. At some of
// these places a block begins, chosen by the name and not by what came before; what is longer than a block is cut at
// places of its own. So streams that differ here and there have the same blocks elsewhere, even if what differs has
// another size. Where the cuts are is part of the input: it decides bytes.
func (w *Writer) Cut(name string, size int64) error {
	if w.ended {
		return errClosed
	}
	if w.shape.workers == 0 || !w.chosen(name, size) {
		return nil
	}
	w.begin()
	least := w.shape.block / leastShare
	if len(w.cur.data()) >= least {
		if err := w.turn(); err != nil {
			return err
		}
	}
	if size >= int64(w.shape.block) {
		// The next border is as far from here wherever the last one was, and the block no longer than a full one.
		w.end = len(w.cur.data()) + w.shape.block - least
	}
	return nil
}

// chosen draws by the name, with a chance of the size to that of a block.
func (w *Writer) chosen(name string, size int64) bool {
	if size >= int64(w.shape.block) {
		return true
	}
	draw := uint64(crc32.ChecksumIEEE([]byte(name)))
	return draw*uint64(w.shape.block) < uint64(size)<<32
}

// key hashes a block. Each part says where it ends.
func (r *reuse) key(b *block) (key BlockKey) {
	h := blake3.New()
	head := binary.LittleEndian.AppendUint32([]byte(r.id+"\x00"), uint32(b.before))
	for _, part := range [][]byte{head, b.dictionary(), b.data()} {
		h.Write(part) //nolint:errcheck // a hash never fails
	}
	h.Sum(key[:0])
	return key
}

// packOne packs a block, unless it was packed before.
func (f *flow) packOne(b *block, pack func(*block)) {
	if f.reuse == nil {
		pack(b)
		return
	}
	b.key = f.reuse.key(b)
	packed, ok := f.reuse.blocks.Find(b.key, b.packed[:0])
	if ok && len(packed) > 0 {
		b.packed = packed
		return
	}
	pack(b)
}

// emitOne writes a packed block, and says where.
func (f *flow) emitOne(b *block) error {
	err := f.enc.emit(b)
	if err == nil && f.reuse != nil {
		f.reuse.blocks.Made(b.key, f.out.n-int64(len(b.packed)), b.packed)
	}
	return err
}

// counted counts what goes to w.
type counted struct {
	w io.Writer
	n int64 // bytes
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
