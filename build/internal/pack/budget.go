package pack

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/docker/go-units"

	"github.com/lbuild/lbuild/diff/compress"
)

// layerMemory is what a layer takes besides its compressors, in bytes: small files that are read ahead, the pieces of its
// tar, and the buffers of the blob.
const layerMemory = 8 << 20

// leastWorkers are those that a layer waits for: many layers with one each would only all be done late.
const leastWorkers = 2

// leastMemory is what packing one layer takes at least, in bytes.
func leastMemory(c compress.Compression) int64 { return layerMemory + leastWorkers*c.WorkerMemory() }

// CheckMemory refuses a budget, in bytes, in which no layer could be packed in a compression.
func CheckMemory(memory int64, c compress.Compression) error {
	if least := leastMemory(c); memory < least {
		return fmt.Errorf("a memory budget of %s is too small: to pack a layer as %s takes %s", units.BytesSize(float64(memory)), c, units.BytesSize(float64(least)))
	}
	return nil
}

// budget is what all layers that are packed at once may take. Who waits is served in the order of turns. It is safe for
// use by several goroutines.
type budget struct {
	memory int64 // bytes
	layers int   // at once
	cores  int

	mu      sync.Mutex
	taken   int64 // bytes
	most    int64 // bytes taken at any time
	packing int   // layers
	queue   []*claim
}

// turn is the place of a layer among those that wait: builds one after the other, so that no later build holds an earlier
// one up, and their layers by rank.
type turn struct {
	build int64 // number of the build
	rank  int   // the lower, the sooner; negative for layers of the base
}

func (t turn) compare(other turn) int {
	return cmp.Or(cmp.Compare(t.build, other.build), cmp.Compare(t.rank, other.rank))
}

// claim is a layer that waits.
type claim struct {
	turn
	beside  int64 // bytes that it takes for itself, whatever its workers take
	each    int64 // bytes that a worker takes
	ready   chan struct{}
	workers int // that it got, before ready was closed
}

// bytes are what a layer takes with so many workers.
func (c *claim) bytes(workers int) int64 { return c.beside + int64(workers)*c.each }

func newBudget(memory int64, layers int) *budget {
	return &budget{memory: memory, layers: layers, cores: runtime.GOMAXPROCS(0)}
}

// room waits until it is a layer's turn to be packed, and says with how many workers. The caller releases it. Bytes never
// depend on what it says. What is read is decompressed in a window of so many bytes, 0 for none; where the budget has no
// room for all of it, the layer is packed alone.
func (b *budget) room(ctx context.Context, t turn, c compress.Compression, window int64) (workers int, release func(), err error) {
	window = max(0, min(window, b.memory-leastMemory(c)))
	mine := &claim{turn: t, beside: layerMemory + window, each: c.WorkerMemory(), ready: make(chan struct{})}
	b.join(mine)
	select {
	case <-mine.ready:
		return mine.workers, func() { b.leave(mine) }, nil
	case <-ctx.Done():
		b.leave(mine)
		return 0, nil, context.Cause(ctx)
	}
}

// join puts a claim behind those of its turn.
func (b *budget) join(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := len(b.queue)
	for at > 0 && c.compare(b.queue[at-1].turn) < 0 {
		at--
	}
	b.queue = slices.Insert(b.queue, at, c)
	b.serve()
}

// leave gives back what a claim got, or its place in the queue.
func (b *budget) leave(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.workers > 0 {
		b.taken -= c.bytes(c.workers)
		b.packing--
	}
	b.queue = slices.DeleteFunc(b.queue, func(other *claim) bool { return other == c })
	b.serve()
}

// serve gives the first claims as many workers as there are cores, as far as there is room. Nobody overtakes, so that
// everybody's turn comes: only those of earlier builds, and lower layers, join before one that waits.
func (b *budget) serve() {
	for len(b.queue) > 0 && b.packing < b.layers {
		c := b.queue[0]
		if c.workers = b.fitting(c); c.workers == 0 {
			return
		}
		b.taken += c.bytes(c.workers)
		b.most = max(b.most, b.taken)
		b.packing++
		b.queue = b.queue[1:]
		close(c.ready)
	}
}

// fitting is how many workers a claim can have; 0: too few. Where there is enough for two layers, it leaves what one takes
// at least: so a lone layer has nearly everything, and a small one need not wait for a large one.
func (b *budget) fitting(c *claim) int {
	want, least, free := max(b.cores, leastWorkers), c.bytes(leastWorkers), b.memory-b.taken
	switch {
	case free < least:
		return 0
	case free >= 2*least && b.packing+1 < b.layers:
		free -= least
	}
	if c.each == 0 {
		return want
	}
	return min(want, int((free-c.beside)/c.each))
}

// peak is the most that was taken at any time, in bytes.
func (b *budget) peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}
