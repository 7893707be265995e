package compress

import (
	"errors"
	"io"
	"runtime"
	"sync/atomic"
)

// What a writer hands from stage to stage. The sizes of a gzip block and of its dictionary decide bytes.
const (
	pieceSize  = 256 << 10 // bytes, of streams that are not compressed
	pieceCount = 6         // pieces that one writer owns
	startSize  = 32 << 10  // bytes that the first block starts with, so that small streams stay cheap
)

// errClosed is what a writer says after its end.
var errClosed = errors.New("writer is closed")

// Writer compresses a stream. The first block is packed where it was written; with a second one the stages start to run
// beside each other: whoever writes, the tee, the workers, and what writes the blob. It is not for several goroutines.
type Writer struct {
	enc   encoder
	out   *counted // below enc
	codec Compression
	tee   io.Writer
	reuse *reuse // nil: no blocks are known
	shape shape
	flow  *flow  // nil while there is one block
	cur   *block // being filled
	end   int    // bytes of cur when it is full
	made  int
	tail  []byte // what the next block has for a dictionary
	ended bool
	err   failure
}

// shape says into what a codec wants its input cut.
type shape struct {
	block   int // bytes
	dict    int // bytes of the block before that each block has with it
	count   int // blocks that may be on their way at once
	workers int // that pack blocks; 0 where there is nothing to pack
}

// encoder turns blocks into the bytes of a codec.
type encoder interface {
	// packer returns a function for one worker, which packs one block after another. It is nil where there is nothing to pack.
	packer() func(*block)
	// emit writes a block that was packed, in the order of the stream.
	emit(*block) error
	// end writes the end of the stream.
	end() error
}

// NewWriter returns a writer that compresses to w with so many workers; 0 means one for each usable core. The caller
// closes or drops it, also after an error of Write.
func (c Compression) NewWriter(w io.Writer, workers int) (*Writer, error) {
	c, _, err := c.codec()
	if err != nil {
		return nil, err
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	out := &counted{w: w}
	z := &Writer{out: out, codec: c, shape: shape{block: pieceSize, count: pieceCount}}
	switch c.Name {
	case Gzip:
		z.shape = shape{block: gzipBlock, dict: gzipDict, count: workers + gzipSpare, workers: workers}
		z.enc = &gzipEncoder{w: out, level: c.Level}
	case Zstd:
		z.shape = shape{block: zstdBlock, count: workers + zstdSpare, workers: workers}
		z.enc = &zstdEncoder{w: out, level: c.Level}
	default:
		z.enc = plain{out}
	}
	return z, nil
}

// Tee lets h have the bytes of the stream too, in order and in a goroutine of its own, until Close or Drop returns. It is
// called before anything is written, and errors of h are not looked at: it is a hash.
func (w *Writer) Tee(h io.Writer) { w.tee = h }

// Write takes bytes of the stream. An error may be that of bytes that an earlier call took.
func (w *Writer) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		room, err := w.room()
		if err != nil {
			return written - len(p), err
		}
		n := copy(room, p)
		w.fill(n)
		p = p[n:]
	}
	return written, nil
}

// ReadFrom takes all that r has. It reads straight into the blocks, at most pieceSize bytes at a time.
func (w *Writer) ReadFrom(r io.Reader) (read int64, err error) {
	for {
		room, err := w.room()
		if err != nil {
			return read, err
		}
		n, err := r.Read(room[:min(len(room), pieceSize)])
		w.fill(n)
		read += int64(n)
		if errors.Is(err, io.EOF) {
			return read, nil
		}
		if err != nil {
			return read, err
		}
	}
}

// Close ends the stream, waits for all that the writer started, and leaves the writer below open. After an error it
// ends nothing: the blob stays without an end. A second Close does nothing, nor does one after Drop.
func (w *Writer) Close() error {
	if w.ended {
		return nil
	}
	w.ended = true
	rest := w.cur != nil && len(w.cur.data()) > 0
	switch {
	case rest && w.flow != nil:
		w.flow.send(w.cur)
	case rest:
		w.alone(w.cur)
	}
	if w.flow != nil {
		w.flow.wait()
	}
	if err := w.err.get(); err != nil {
		return err
	}
	return w.enc.end()
}

// Drop gives the stream up. It waits as Close does, but what is not yet written will not be, and neither is the end. Of zstd
// whole frames may be written, so that a beginning of the input can be read without an error.
func (w *Writer) Drop() {
	if w.ended {
		return
	}
	w.ended = true
	w.err.set(errClosed)
	if w.flow != nil {
		w.flow.wait()
	}
}

// room is where the next bytes go. It is never empty.
func (w *Writer) room() ([]byte, error) {
	if w.ended {
		return nil, errClosed
	}
	w.begin()
	if len(w.cur.buf) == w.bound() {
		if err := w.next(); err != nil {
			return nil, err
		}
	}
	return w.cur.buf[len(w.cur.buf):w.bound()], nil
}

// begin takes the first block, which is small.
func (w *Writer) begin() {
	if w.cur == nil {
		w.made++
		w.cur, w.end = newBlock(w.shape.dict, startSize), w.shape.block
	}
}

// bound is up to where the buffer of the block can be filled.
func (w *Writer) bound() int { return min(cap(w.cur.buf), w.shape.dict+w.end) }

// fill says that so many bytes of the room are there.
func (w *Writer) fill(n int) { w.cur.buf = w.cur.buf[:len(w.cur.buf)+n] }

// next makes room behind a full block, or sends it on.
func (w *Writer) next() error {
	if err := w.err.get(); err != nil {
		return err
	}
	if len(w.cur.data()) < w.end {
		w.cur.grow(w.shape.block)
		return nil
	}
	return w.turn()
}

// turn sends the block on as it is, and takes an empty one.
func (w *Writer) turn() error {
	if w.flow == nil {
		w.flow = newFlow(w)
	}
	if w.shape.dict > 0 {
		w.tail = append(w.tail[:0], w.cur.buf[len(w.cur.buf)-w.shape.dict:]...)
	}
	w.flow.send(w.cur)
	w.cur, w.end = w.take(), w.shape.block
	w.cur.follow(w.tail)
	return w.err.get()
}

// take returns a block that nobody uses, and waits for one when enough are on their way.
func (w *Writer) take() *block {
	select {
	case b := <-w.flow.free:
		return b
	default:
	}
	if w.made < w.shape.count {
		w.made++
		return newBlock(w.shape.dict, w.shape.block)
	}
	return <-w.flow.free
}

// alone does all that is to be done with the only block of a stream.
func (w *Writer) alone(b *block) {
	if w.tee != nil {
		w.tee.Write(b.data()) //nolint:errcheck // it is a hash
	}
	if pack := w.enc.packer(); pack != nil {
		pack(b)
	}
	w.err.set(w.enc.emit(b))
}

// failure is the first error of several goroutines.
type failure struct{ p atomic.Pointer[error] }

func (f *failure) set(err error) {
	if err != nil {
		f.p.CompareAndSwap(nil, &err)
	}
}

func (f *failure) get() error {
	if err := f.p.Load(); err != nil {
		return *err
	}
	return nil
}
