package compress

import (
	"io"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// These decide bytes: a change needs a new revision of the codec.
const (
	gzipLevel  = 5
	gzipBlock  = 1 << 20 // bytes of input that one worker compresses at a time
	zstdLevel  = 3
	zstdWindow = 1 << 20 // bytes; one worker compresses four windows at a time
)

// zstdWorkers bounds the memory of one stream.
const zstdWorkers = 8

// What a worker takes, with the garbage of the one before it, as measured on input that does not get smaller.
const (
	gzipMemory     = 4 << 20  // bytes
	zstdMemory     = 20 << 20 // bytes
	zstdBestMemory = 80 << 20 // bytes, for the levels that search the most
)

// WorkerMemory is about how many bytes each worker of a writer takes while it compresses, so that a caller with several
// writers can keep them within bounds. Zstd has two workers at least and eight at most, whatever NewWriter is told.
func (c Compression) WorkerMemory() int64 {
	c, _, _ = c.codec()
	switch {
	case c.Name == Gzip:
		return gzipMemory
	case c.Name == Zstd && zstd.EncoderLevelFromZstd(c.Level) == zstd.SpeedBestCompression:
		return zstdBestMemory
	case c.Name == Zstd:
		return zstdMemory
	}
	return 0
}

// NewWriter returns a writer that compresses to w with so many workers; 0 means one for each usable core. The caller
// closes it, also after an error of Write: Close ends the stream, waits for all workers, and leaves w open.
func (c Compression) NewWriter(w io.Writer, workers int) (io.WriteCloser, error) {
	c, _, err := c.codec()
	if err != nil {
		return nil, err
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	switch c.Name {
	case Gzip:
		return newGzip(w, c.Level, workers)
	case Zstd:
		return newZstd(w, c.Level, workers)
	}
	return plain{w}, nil
}

// plain writes through.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// gzipWriter is pgzip with an end that waits.
type gzipWriter struct{ *pgzip.Writer }

func newGzip(w io.Writer, level, workers int) (io.WriteCloser, error) {
	z, err := pgzip.NewWriterLevel(w, level)
	if err != nil {
		return nil, err
	}
	// pgzip would write its zero time as a date long ago.
	z.ModTime = time.Unix(0, 0)
	return gzipWriter{z}, z.SetConcurrency(gzipBlock, workers)
}

// Close also ends the goroutines that pgzip leaves behind after an error, which only its Reset does.
func (z gzipWriter) Close() error {
	err := z.Writer.Close()
	z.Reset(io.Discard)
	return err
}

// zstdWriter is an encoder with an end that waits.
type zstdWriter struct{ *zstd.Encoder }

func newZstd(w io.Writer, level, workers int) (io.WriteCloser, error) {
	z, err := zstd.NewWriter(w,
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithConcurrentBlocks(true),
		// With one worker the encoder would not cut its input into jobs, and the bytes would be others.
		zstd.WithEncoderConcurrency(min(max(workers, 2), zstdWorkers)),
	)
	if err != nil {
		return nil, err
	}
	return zstdWriter{z}, nil
}

// Close also ends the workers after an error, which only the encoder's Reset does.
func (z zstdWriter) Close() error {
	err := z.Encoder.Close()
	z.Reset(nil)
	return err
}
