package build

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/docker/go-units"

	"github.com/lbuild/lbuild/diff/compress"
)

// DefaultMemory is what Options.Memory is where it is 0, in bytes.
const DefaultMemory = 192 << 20

// layerMemory is what a layer takes besides its compressors, in bytes: the pieces of its tar, and the buffers of the
// files that are read and of the blob that is written.
const layerMemory = 4 << 20

// leastWorkers are those without which nothing is compressed.
const leastWorkers = 2

// leastMemory is what packing one layer takes at least, in bytes.
func leastMemory(c compress.Compression) int64 { return layerMemory + leastWorkers*c.WorkerMemory() }

// CheckMemory refuses an Options.Memory, in bytes, in which no layer of this request could be packed.
func (r Request) CheckMemory(memory int64) error {
	if memory == 0 {
		memory = DefaultMemory
	}
	s := session{req: r}
	for _, c := range s.compressions() {
		if least := leastMemory(c); memory < least {
			return fmt.Errorf("a memory budget of %s is too small: to pack a layer as %s takes %s", units.BytesSize(float64(memory)), c, units.BytesSize(float64(least)))
		}
	}
	return nil
}

// budget is what all layers that are packed at once may take. Who waits is served oldest first. It is safe for use by
// several goroutines.
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

// claim is a layer that waits.
type claim struct {
	rank        int // the lower, the sooner
	least, want int64
	ready       chan struct{} // closed when got is set
	got         int64         // bytes
}

func newBudget(memory int64, layers int) *budget {
	return &budget{memory: memory, layers: layers, cores: runtime.GOMAXPROCS(0)}
}

// room waits until a layer of this rank may be packed, and says with how many workers. The caller releases it. Bytes
// never depend on what it says.
func (b *budget) room(ctx context.Context, rank int, c compress.Compression) (workers int, release func(), err error) {
	each := c.WorkerMemory()
	want := layerMemory + int64(max(b.cores, leastWorkers))*each
	got, err := b.take(ctx, &claim{rank: rank, least: leastMemory(c), want: want, ready: make(chan struct{})})
	if err != nil {
		return 0, nil, err
	}
	workers = b.cores
	if each > 0 {
		workers = int((got - layerMemory) / each)
	}
	return workers, func() { b.give(got) }, nil
}

// take waits for a claim's turn and returns the bytes that it got.
func (b *budget) take(ctx context.Context, c *claim) (int64, error) {
	b.mu.Lock()
	at, _ := slices.BinarySearchFunc(b.queue, c.rank+1, func(c *claim, rank int) int { return c.rank - rank })
	b.queue = slices.Insert(b.queue, at, c)
	b.serve()
	b.mu.Unlock()
	select {
	case <-c.ready:
		return c.got, nil
	case <-ctx.Done():
		b.leave(c)
		return 0, context.Cause(ctx)
	}
}

// leave takes back a claim that is not wanted any more.
func (b *budget) leave(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.got > 0 { // its turn came at the same moment
		b.taken -= c.got
		b.packing--
	}
	b.queue = slices.DeleteFunc(b.queue, func(other *claim) bool { return other == c })
	b.serve()
}

func (b *budget) give(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken -= bytes
	b.packing--
	b.serve()
}

// serve gives the oldest claims what they want, as far as there is room. Each leaves room for one more, where it can: so a
// lone layer has nearly all, and a small one need not wait for a large one. Nobody overtakes, so everybody's turn comes.
func (b *budget) serve() {
	for len(b.queue) > 0 && b.packing < b.layers {
		c, free := b.queue[0], b.memory-b.taken
		if free < c.least {
			return
		}
		c.got = min(c.want, max(c.least, free-c.least))
		b.taken += c.got
		b.most = max(b.most, b.taken)
		b.packing++
		b.queue = b.queue[1:]
		close(c.ready)
	}
}

// peak is the most that was taken at any time, in bytes.
func (b *budget) peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}
