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

// zstdEncoder hands the stream to an encoder that cuts it into jobs and has workers of its own.
type zstdEncoder struct{ z *zstd.Encoder }

func newZstd(w io.Writer, level, workers int) (zstdEncoder, error) {
	z, err := zstd.NewWriter(w,
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithConcurrentBlocks(true),
		// With one worker the encoder would not cut its input into jobs, and the bytes would be others.
		zstd.WithEncoderConcurrency(min(max(workers, 2), zstdWorkers)),
	)
	return zstdEncoder{z}, err
}

func (zstdEncoder) packer() func(*block) { return nil }

func (e zstdEncoder) emit(b *block) error {
	_, err := e.z.Write(b.data())
	return err
}

func (e zstdEncoder) end() error {
	err := e.z.Close()
	e.drop()
	return err
}

// drop also ends the workers, which only the encoder's Reset does. Those have no end of the stream to write.
func (e zstdEncoder) drop() { e.z.Reset(nil) }

// plain writes the stream as it is.
type plain struct{ w io.Writer }

func (plain) packer() func(*block) { return nil }

func (p plain) emit(b *block) error {
	_, err := p.w.Write(b.data())
	return err
}

func (plain) end() error { return nil }
func (plain) drop()      {}
