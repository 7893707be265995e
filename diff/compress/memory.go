package compress

import "github.com/klauspost/compress/zstd"

// What a worker takes, with its share of the blocks that wait and of the garbage, as resident memory shows it with two
// workers on input that does not get smaller. More workers take less each.
const (
	gzipMemory       = 5 << 20  // bytes
	zstdMemory       = 16 << 20 // bytes
	zstdBetterMemory = 20 << 20 // bytes, for the levels that search longer
	zstdBestMemory   = 52 << 20 // bytes, for those that search the most
)

// WorkerMemory is about how many bytes each worker of a writer takes while it compresses, so that a caller with several
// writers can keep them within bounds.
func (c Compression) WorkerMemory() int64 {
	c, _, _ = c.codec()
	switch c.Name {
	case Gzip:
		return gzipMemory
	case Zstd:
		return zstdWorkerMemory(zstd.EncoderLevelFromZstd(c.Level))
	}
	return 0
}

func zstdWorkerMemory(level zstd.EncoderLevel) int64 {
	switch level {
	case zstd.SpeedBestCompression:
		return zstdBestMemory
	case zstd.SpeedBetterCompression:
		return zstdBetterMemory
	}
	return zstdMemory
}
