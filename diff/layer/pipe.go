package layer

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync/atomic"

	"github.com/lbuild/lbuild/diff/compress"
	"github.com/opencontainers/go-digest"
)

const (
	pieceSize  = 256 << 10 // bytes of tar that go on at a time
	pieceCount = 4         // pieces that one pipe owns
)

// pipe takes the bytes of a tar. It hashes them in a goroutine of its own while it compresses them, and hashes and
// writes what comes out.
type pipe struct {
	piece []byte
	size  int64 // bytes that went on
	blob  *sink
	codec io.WriteCloser
	plain bool // the blob is the tar: one digest does for both

	diffID hash.Hash
	free   chan []byte // pieces that can be filled
	full   chan []byte // pieces to hash; nil until the first one is full
	hashed chan struct{}
}

// sink hashes and counts what goes to w, until it is cut.
type sink struct {
	w    io.Writer
	hash hash.Hash // nil: no digest
	size int64
	cut  atomic.Bool
}

var errCut = errors.New("the layer failed")

func (s *sink) Write(p []byte) (int, error) {
	if s.cut.Load() {
		return 0, errCut
	}
	n, err := s.w.Write(p)
	if s.hash != nil {
		s.hash.Write(p[:n])
	}
	s.size += int64(n)
	return n, err
}

func newPipe(w io.Writer, opts Options) (*pipe, error) {
	p := &pipe{
		piece:  make([]byte, 0, pieceSize),
		plain:  opts.Compression.Name == compress.None,
		blob:   &sink{w: w},
		diffID: sha256.New(),
	}
	if !p.plain {
		p.blob.hash = sha256.New()
	}
	var err error
	p.codec, err = opts.Compression.NewWriter(p.blob, opts.Workers)
	return p, err
}

// Write collects bytes into pieces.
func (p *pipe) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 {
		if len(p.piece) == cap(p.piece) {
			if err := p.next(); err != nil {
				return 0, err
			}
		}
		n := copy(p.piece[len(p.piece):cap(p.piece)], b)
		p.piece, b = p.piece[:len(p.piece)+n], b[n:]
	}
	return written, nil
}

// next sends a full piece on and takes an empty one. Only a tar of more than one piece is worth a goroutine.
func (p *pipe) next() error {
	if p.full == nil {
		p.start()
	}
	p.size += int64(len(p.piece))
	p.full <- p.piece
	_, err := p.codec.Write(p.piece)
	p.piece = (<-p.free)[:0]
	return err
}

// start begins to hash beside the compression. It ends when full is closed.
func (p *pipe) start() {
	p.free = make(chan []byte, pieceCount)
	p.full = make(chan []byte, pieceCount)
	p.hashed = make(chan struct{})
	for range pieceCount - 1 {
		p.free <- make([]byte, pieceSize)
	}
	go func() {
		defer close(p.hashed)
		for piece := range p.full {
			p.diffID.Write(piece)
			p.free <- piece
		}
	}()
}

// finish sends the rest on, ends everything that runs, and returns the digests. After a failure it only ends things, and
// writes nothing more: the end of a stream would make of its beginning a blob that looks whole.
func (p *pipe) finish(failure error) (Result, error) {
	if p.full != nil {
		close(p.full)
		<-p.hashed
	}
	var err error
	p.blob.cut.Store(failure != nil)
	if failure == nil {
		p.diffID.Write(p.piece)
		p.size += int64(len(p.piece))
		_, err = p.codec.Write(p.piece)
	}
	if closeErr := p.codec.Close(); err == nil && failure == nil {
		err = closeErr
	}
	return p.result(), err
}

func (p *pipe) result() Result {
	r := Result{
		DiffID:           digest.NewDigest(digest.SHA256, p.diffID),
		UncompressedSize: p.size,
		Size:             p.blob.size,
	}
	r.Digest = r.DiffID
	if !p.plain {
		r.Digest = digest.NewDigest(digest.SHA256, p.blob.hash)
	}
	return r
}
