package compress

import (
	"io"
	"sync"
	"sync/atomic"
)

// block is a stretch of a stream, on its way through the stages.
type block struct {
	buf    []byte // the dictionary, and behind it the stretch itself
	dict   int    // bytes of buf that are room for the dictionary
	before int    // bytes of the dictionary that there are; they end where the stretch starts
	packed []byte
	key    BlockKey
	ready  chan struct{} // has one element when packed is there
	users  atomic.Int32  // stages that are not done with it
}

func newBlock(dict, size int) *block {
	return &block{buf: make([]byte, dict, dict+size), dict: dict, ready: make(chan struct{}, 1)}
}

func (b *block) data() []byte       { return b.buf[b.dict:] }
func (b *block) dictionary() []byte { return b.buf[b.dict-b.before : b.dict] }

// follow empties the block and gives it a dictionary.
func (b *block) follow(tail []byte) {
	b.buf = b.buf[:b.dict]
	b.before = copy(b.buf[b.dict-len(tail):], tail)
}

// grow makes the block as large as all later ones are.
func (b *block) grow(size int) {
	buf := make([]byte, len(b.buf), b.dict+size)
	copy(buf, b.buf)
	b.buf = buf
}

// flow are the stages that run beside whoever writes. A block goes to all of them at once: the tee and the workers need not
// wait for each other. No send waits, because each channel has room for all the blocks that there are.
type flow struct {
	enc     encoder
	out     *counted // below enc
	reuse   *reuse   // nil: no blocks are known
	err     *failure
	free    chan *block // nobody uses them
	tee     chan *block // nil without a tee
	pack    chan *block // nil without workers
	emit    chan *block
	workers int // that may yet be started
	done    sync.WaitGroup
}

func newFlow(w *Writer) *flow {
	f := &flow{enc: w.enc, out: w.out, reuse: w.reuse, err: &w.err, workers: w.shape.workers}
	f.free = make(chan *block, w.shape.count)
	f.emit = make(chan *block, w.shape.count)
	f.done.Go(f.emitAll)
	if f.workers > 0 {
		f.pack = make(chan *block, w.shape.count)
	}
	if w.tee != nil {
		f.tee = make(chan *block, w.shape.count)
		f.done.Go(func() { f.teeAll(w.tee) })
	}
	return f
}

// send gives a full block to the stages. Another worker starts with each block until there are enough.
func (f *flow) send(b *block) {
	b.users.Store(1)
	if f.tee != nil {
		b.users.Store(2)
		f.tee <- b
	}
	if f.pack != nil {
		f.pack <- b
	}
	f.emit <- b
	if f.workers > 0 {
		f.workers--
		f.done.Go(f.packAll)
	}
}

// wait ends the stages when all blocks went through them.
func (f *flow) wait() {
	for _, stage := range []chan *block{f.tee, f.pack, f.emit} {
		if stage != nil {
			close(stage)
		}
	}
	f.done.Wait()
}

func (f *flow) release(b *block) {
	if b.users.Add(-1) == 0 {
		f.free <- b
	}
}

func (f *flow) teeAll(h io.Writer) {
	for b := range f.tee {
		if f.err.get() == nil {
			h.Write(b.data()) //nolint:errcheck // it is a hash
		}
		f.release(b)
	}
}

func (f *flow) packAll() {
	pack := f.enc.packer()
	for b := range f.pack {
		if f.err.get() == nil {
			f.packOne(b, pack)
		}
		b.ready <- struct{}{}
	}
}

func (f *flow) emitAll() {
	for b := range f.emit {
		if f.pack != nil {
			<-b.ready
		}
		if f.err.get() == nil {
			f.err.set(f.emitOne(b))
		}
		f.release(b)
	}
}
