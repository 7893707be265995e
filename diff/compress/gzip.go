package compress

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// These decide bytes: a change needs a new revision of the codec.
const (
	gzipLevel = 5        // the fastest within 4 % of the size of compress/gzip at level 6: docs/compression.md
	gzipBlock = 1 << 20  // bytes that one worker compresses at a time
	gzipDict  = 32 << 10 // bytes of the block before that it may refer to
)

const gzipSpare = 3 // blocks beside those that are compressed: being filled, hashed, written

// gzipEncoder makes one gzip member. Blocks are compressed on their own, each ends at a byte, and together they are one
// deflate stream.
type gzipEncoder struct {
	w     io.Writer
	level int
	begun bool
	sum   uint32
	size  uint32 // modulo 2^32, as the format has it

	once  sync.Once
	zeros []byte // a whole block of zeros, packed
}

func (g *gzipEncoder) packer() func(*block) {
	p := deflater{level: g.level}
	return func(b *block) {
		if len(b.data()) == gzipBlock && allZero(b.data()) {
			g.once.Do(func() { g.zeros = p.pack(nil, b.data(), nil) })
			b.packed = append(b.packed[:0], g.zeros...)
			return
		}
		b.packed = p.pack(b.packed[:0], b.data(), b.dictionary())
	}
}

// emit adds a block up and writes it. It writes the header before the first one.
func (g *gzipEncoder) emit(b *block) error {
	if err := g.begin(); err != nil {
		return err
	}
	g.sum = crc32.Update(g.sum, crc32.IEEETable, b.data())
	g.size += uint32(len(b.data()))
	_, err := g.w.Write(b.packed)
	return err
}

// begin writes a header that says nothing of the file, the time or the machine.
func (g *gzipEncoder) begin() error {
	if g.begun {
		return nil
	}
	g.begun = true
	const unknownSystem = 255
	header := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, unknownSystem}
	switch g.level {
	case flate.BestCompression:
		header[8] = 2
	case flate.BestSpeed:
		header[8] = 4
	}
	_, err := g.w.Write(header)
	return err
}

func (g *gzipEncoder) end() error {
	if err := g.begin(); err != nil {
		return err
	}
	trailer := []byte{3, 0} // an empty block of fixed codes that is the last one
	trailer = binary.LittleEndian.AppendUint32(trailer, g.sum)
	trailer = binary.LittleEndian.AppendUint32(trailer, g.size)
	_, err := g.w.Write(trailer)
	return err
}

// deflater compresses blocks, one at a time.
type deflater struct {
	level int
	best  *flate.Writer
	fast  *flate.Writer // for what does not get smaller
}

// The levels up to this one see by themselves that they get nowhere, and store what they have without a search.
const lastFastLevel = 6

// pack appends the compressed data to dst. It ends with an empty stored block, at the border of a byte.
func (d *deflater) pack(dst, data, dict []byte) []byte {
	out := bytes.NewBuffer(dst)
	z, level := &d.best, d.level
	if level > lastFastLevel && d.hard(data) {
		z, level = &d.fast, flate.BestSpeed
	}
	if *z == nil {
		w, err := flate.NewWriter(out, level)
		if err != nil {
			panic(err) // the level was checked
		}
		*z = w
	}
	deflate(*z, out, data, dict)
	return out.Bytes()
}

// deflate writes to memory only, which never fails.
func deflate(z *flate.Writer, out *bytes.Buffer, data, dict []byte) {
	z.ResetDict(out, dict)
	_, err := z.Write(data)
	if err == nil {
		err = z.Flush()
	}
	if err != nil {
		panic(err)
	}
}

// A sample is compressed to tell whether the whole block is worth a search.
const (
	sampleCount = 8
	sampleSize  = 4 << 10 // bytes
)

// hard reports whether none of some samples of a block gets smaller.
func (d *deflater) hard(data []byte) bool {
	if len(data) < 2*sampleCount*sampleSize {
		return false
	}
	var out bytes.Buffer
	for i := range sampleCount {
		at := i * (len(data) - sampleSize) / (sampleCount - 1)
		out.Reset()
		if d.fast == nil {
			d.fast, _ = flate.NewWriter(&out, flate.BestSpeed)
		}
		deflate(d.fast, &out, data[at:at+sampleSize], nil)
		if out.Len() < sampleSize {
			return false
		}
	}
	return true
}

// allZero reports whether there is nothing but zeros.
func allZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
