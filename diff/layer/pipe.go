package layer

import (
	"crypto/sha256"
	"hash"
	"io"

	"github.com/lbuild/lbuild/diff/compress"
	"github.com/opencontainers/go-digest"
)

// pipe takes the bytes of a tar: the compressor hashes them beside its work, and the sink what comes out.
type pipe struct {
	*compress.Writer
	size   int64 // bytes that came in through Write and ReadFrom
	blob   *sink
	diffID hash.Hash // nil: the blob is the tar, and one digest does for both
}

func newPipe(w io.Writer, opts Options) (*pipe, error) {
	p := &pipe{blob: newSink(w)}
	var err error
	if p.Writer, err = opts.Compression.NewWriter(p.blob, opts.Workers); err != nil {
		return nil, err
	}
	p.Reuse(opts.Blocks)
	if opts.Compression.Name != compress.None {
		p.diffID = sha256.New()
		p.Tee(p.diffID)
	}
	return p, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	p.size += int64(n)
	return n, err
}

func (p *pipe) ReadFrom(r io.Reader) (int64, error) {
	n, err := p.Writer.ReadFrom(r)
	p.size += n
	return n, err
}

// finish ends everything that runs and returns the digests. After a failure it only ends things, and writes nothing more:
// the end of a stream would make of its beginning a blob that looks whole.
func (p *pipe) finish(failure error) (Result, error) {
	var err error
	if failure == nil {
		err = p.Close()
	} else {
		p.Drop()
	}
	p.blob.close()
	return p.result(), err
}

func (p *pipe) result() Result {
	r := Result{Digest: p.blob.digest(), Size: p.blob.size, UncompressedSize: p.size}
	if r.DiffID = r.Digest; p.diffID != nil {
		r.DiffID = digest.NewDigest(digest.SHA256, p.diffID)
	}
	return r
}

// sink hashes and counts what goes to w.
type sink struct {
	w    io.Writer
	hash hash.Hash // nil: w hashes it
	size int64

	todo   chan []byte   // to hash beside the write; nil until it is worth it
	hashed chan struct{} // one for each of todo
}

func newSink(w io.Writer) *sink {
	s := &sink{w: w}
	if _, ok := w.(Digester); !ok {
		s.hash = sha256.New()
	}
	return s
}

func (s *sink) digest() digest.Digest {
	if s.hash == nil {
		return s.w.(Digester).Digest()
	}
	return digest.NewDigest(digest.SHA256, s.hash)
}

// besideSize is how many bytes are worth a goroutine to hash them.
const besideSize = 64 << 10

func (s *sink) Write(p []byte) (int, error) {
	beside := s.hash != nil && len(p) >= besideSize
	if beside {
		s.start()
		s.todo <- p
	} else if s.hash != nil {
		s.hash.Write(p)
	}
	n, err := s.w.Write(p)
	if beside {
		<-s.hashed // p is the caller's again when this returns
	}
	s.size += int64(n)
	return n, err
}

func (s *sink) start() {
	if s.todo != nil {
		return
	}
	s.todo, s.hashed = make(chan []byte, 1), make(chan struct{})
	go func() {
		defer close(s.hashed)
		for p := range s.todo {
			s.hash.Write(p)
			s.hashed <- struct{}{}
		}
	}()
}

// close waits for the goroutine.
func (s *sink) close() {
	if s.todo != nil {
		close(s.todo)
		<-s.hashed
	}
}
