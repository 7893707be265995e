package compress

import (
	"io"

	"github.com/klauspost/compress/zstd"
)

// These decide bytes: a change needs a new revision of the codec.
const (
	zstdLevel  = 3
	zstdWindow = 1 << 20 // bytes; one worker compresses four windows at a time
)

// zstdWorkers bounds the memory of one stream.
const zstdWorkers = 8

// zstdBlock is how long a stream is at most that the encoder makes one block of, at any level.
const zstdBlock = 64 << 10 // bytes

// zstdEncoder hands the stream to an encoder that cuts it into jobs and has workers of its own.
type zstdEncoder struct {
	w       io.Writer
	level   int
	workers int
	z       *zstd.Encoder // nil until there is more than a block, because it takes megabytes
	ended   bool
}

func (e *zstdEncoder) packer() func(*block) { return nil }

// whole makes a frame of a short stream with as little as that takes. It is the frame that emit and end would make.
func (e *zstdEncoder) whole(b *block) error {
	if len(b.data()) > zstdBlock {
		return e.emit(b)
	}
	z, err := zstd.NewWriter(nil, e.option(), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	e.ended = true
	_, err = e.w.Write(z.EncodeAll(b.data(), nil))
	return err
}

func (e *zstdEncoder) option() zstd.EOption {
	return zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(e.level))
}

func (e *zstdEncoder) emit(b *block) error {
	if err := e.start(); err != nil {
		return err
	}
	_, err := e.z.Write(b.data())
	return err
}

func (e *zstdEncoder) start() (err error) {
	if e.z != nil {
		return nil
	}
	e.z, err = zstd.NewWriter(e.w,
		e.option(),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithConcurrentBlocks(true),
		// With one worker the encoder would not cut its input into jobs, and the bytes would be others.
		zstd.WithEncoderConcurrency(min(max(e.workers, 2), zstdWorkers)),
	)
	return err
}

func (e *zstdEncoder) end() error {
	if e.ended {
		return nil
	}
	if err := e.start(); err != nil {
		return err
	}
	err := e.z.Close()
	e.drop()
	return err
}

// drop also ends the workers, which only the encoder's Reset does. Those have no end of the stream to write.
func (e *zstdEncoder) drop() {
	if e.z != nil {
		e.z.Reset(nil)
	}
}

// plain writes the stream as it is.
type plain struct{ w io.Writer }

func (plain) packer() func(*block) { return nil }

func (p plain) emit(b *block) error {
	_, err := p.w.Write(b.data())
	return err
}

func (p plain) whole(b *block) error { return p.emit(b) }

func (plain) end() error { return nil }
func (plain) drop()      {}
