package snapshot

import (
	"context"
	"io"
	"sync"
)

// What one reader reads ahead: enough that both sides rarely wait for each other, and no more for a longer stream.
const (
	aheadPieces = 4
	aheadPiece  = 256 << 10 // bytes
)

// ahead reads from another reader in a goroutine of its own, so that what takes the bytes and what makes them run at the
// same time. Errors come in their place, behind the bytes before them. It is read by one goroutine, which closes it.
type ahead struct {
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

// readAhead begins to read r, which nobody else may use until the ahead is closed. When ctx ends, so does what is read.
func readAhead(ctx context.Context, r io.Reader) *ahead {
	a := &ahead{full: make(chan piece, aheadPieces+1), free: make(chan []byte, aheadPieces)}
	for range aheadPieces {
		a.free <- nil
	}
	ctx, a.stop = context.WithCancelCause(ctx)
	a.done.Go(func() {
		defer close(a.full)
		if err := a.fill(ctx, r); err != nil {
			a.full <- piece{err: err} // there is room: one place more than there are pieces
		}
	})
	return a
}

// fill sends pieces up to and with the first error. It returns why it sent no such.
func (a *ahead) fill(ctx context.Context, r io.Reader) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case data := <-a.free:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if data == nil {
				data = make([]byte, aheadPiece)
			}
			p := fillPiece(data[:aheadPiece], r)
			a.full <- p
			if p.err != nil {
				return nil
			}
		}
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
func (a *ahead) Read(p []byte) (int, error) {
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
func (a *ahead) Close() error {
	a.stop(io.ErrClosedPipe)
	a.done.Wait()
	a.rest, a.err = nil, io.ErrClosedPipe
	return nil
}
