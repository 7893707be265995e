package compress

import (
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// These decide bytes: a change needs a new revision of the codec.
const (
	zstdLevel = 3
	zstdBlock = 4 << 20 // bytes that one worker compresses at a time, and the window of what it makes
)

const zstdOverhead = 1 << 10 // bytes that a frame has more than a block that does not get smaller

const zstdSpare = 2 // blocks beside those that are compressed

// zstdEncoder makes a frame of each block (RFC 8878, section 3: frames follow each other, and stand for one stream). The
// encoder has jobs of its own for one long frame, but those take twice the CPU time for larger blobs.
type zstdEncoder struct {
	w     io.Writer
	level int
	begun bool
}

func (e *zstdEncoder) packer() func(*block) {
	z := e.encoder()
	return func(b *block) {
		// What does not get smaller has a few bytes more; growing a slice to it would leave as much garbage again.
		b.packed = slices.Grow(b.packed[:0], len(b.data())+zstdOverhead)
		b.packed = z.EncodeAll(b.data(), b.packed)
	}
}

// encoder works on whole blocks: it starts no goroutine and needs no end.
func (e *zstdEncoder) encoder() *zstd.Encoder {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(e.level)),
		zstd.WithWindowSize(zstdBlock),
		zstd.WithEncoderConcurrency(1),
		zstd.WithZeroFrames(true),
	)
	if err != nil {
		panic(err) // the level was checked
	}
	return z
}

func (e *zstdEncoder) emit(b *block) error {
	e.begun = true
	_, err := e.w.Write(b.packed)
	return err
}

// end writes an empty frame where there is no other.
func (e *zstdEncoder) end() error {
	if e.begun {
		return nil
	}
	_, err := e.w.Write(e.encoder().EncodeAll(nil, nil))
	return err
}

// plain writes the stream as it is.
type plain struct{ w io.Writer }

func (plain) packer() func(*block) { return nil }

func (p plain) emit(b *block) error {
	_, err := p.w.Write(b.data())
	return err
}

func (plain) end() error { return nil }
