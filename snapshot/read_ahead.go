package snapshot

import (
	"context"
	"io"
	"sync"
)

// What one reader reads ahead: enough that both sides rarely wait for each other, and no more for a longer stream.
const (
	readAheadPieces = 4
	readAheadPiece  = 256 << 10 // bytes
)

// readAheadReader reads from another reader in a goroutine of its own, so that what takes the bytes and what makes them
// run at the same time. Errors come in their place, behind the bytes before them. It is read by one goroutine, which
// closes it.
type readAheadReader struct {
	full chan piece
	free chan []byte
	stop context.CancelCauseFunc
	done sync.WaitGroup

	now  []byte // the piece that is read
	rest []byte // what is left of it
	err  error  // why no other follows
}

type piece struct {
	data []byte
	err  error // behind the data
}

// readAhead begins to read r, which nobody else may use until the reader is closed. When ctx ends, so does what is read.
func readAhead(ctx context.Context, r io.Reader) *readAheadReader {
	a := &readAheadReader{full: make(chan piece, readAheadPieces+1), free: make(chan []byte, readAheadPieces)}
	for range readAheadPieces {
		a.free <- nil
	}
	ctx, a.stop = context.WithCancelCause(ctx)
	a.done.Go(func() {
		for ended := false; !ended; {
			p := a.next(ctx, r)
			a.full <- p // there is room: one place more than there are pieces, for an error that has none
			ended = p.err != nil
		}
	})
	return a
}

// next reads a piece as soon as there is a free one.
func (a *readAheadReader) next(ctx context.Context, r io.Reader) piece {
	select {
	case <-ctx.Done():
		return piece{err: context.Cause(ctx)}
	case data := <-a.free:
		if ctx.Err() != nil {
			return piece{err: context.Cause(ctx)}
		}
		if data == nil {
			data = make([]byte, readAheadPiece)
		}
		return fillPiece(data[:readAheadPiece], r)
	}
}

func fillPiece(data []byte, r io.Reader) piece {
	n := 0
	var err error
	for n < len(data) && err == nil {
		var m int
		m, err = r.Read(data[n:])
		n += m
	}
	return piece{data[:n], err}
}

// Read waits for the other side, which sees the end of its context between two pieces.
func (a *readAheadReader) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.now != nil {
			a.free <- a.now
		}
		next := <-a.full
		a.now, a.rest, a.err = next.data, next.data, next.err
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the goroutine and waits for it.
func (a *readAheadReader) Close() error {
	a.stop(io.ErrClosedPipe)
	a.done.Wait()
	a.rest, a.err = nil, io.ErrClosedPipe
	return nil
}
