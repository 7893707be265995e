package compress

import "github.com/klauspost/compress/zstd"

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
