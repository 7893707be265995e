package build

import (
	"context"
	"runtime"

	"github.com/lbuild/lbuild/diff/compress"
)

// packMemory is about what all layers that are packed at once may take.
const packMemory = 192 << 20 // bytes

// workers waits for the memory to compress one layer, and says how many workers that is enough for. The caller releases
// it.
func (s *session) workers(ctx context.Context, c compress.Compression) (n int, release func(), err error) {
	n, take := share(c, runtime.GOMAXPROCS(0))
	if err := s.memory.Acquire(ctx, take); err != nil {
		return 0, nil, err
	}
	return n, func() { s.memory.Release(take) }, nil
}

// share is what one layer may have: up to half of the memory, so that small layers need not wait for a large one, but
// enough for the two workers without which nothing is compressed.
func share(c compress.Compression, cores int) (workers int, memory int64) {
	each := c.WorkerMemory()
	if each == 0 {
		return cores, 0
	}
	workers = min(max(cores, 2), max(2, int(packMemory/2/each)))
	return workers, min(int64(workers)*each, packMemory)
}
