package bench

import (
	"bufio"
	"context"
	"errors"
	"io"
)

// buffer is the size of reads and writes.
const buffer = 256 << 10 // bytes

// pack compresses in to out in this process.
func (e engine) pack(ctx context.Context, in io.Reader, out io.Writer, workers int) (Cost, error) {
	m := startMeter()
	buffered := bufio.NewWriterSize(out, buffer)
	w, err := e.NewWriter(buffered, e.level, workers)
	if err != nil {
		return Cost{}, err
	}
	err = errors.Join(move(ctx, w, in), w.Close())
	if err == nil {
		err = buffered.Flush()
	}
	return m.stop(), err
}

// unpack decompresses in to out in this process.
func (e engine) unpack(ctx context.Context, in io.Reader, out io.Writer) (Cost, error) {
	m := startMeter()
	r, err := e.NewReader(bufio.NewReaderSize(in, buffer))
	if err != nil {
		return Cost{}, err
	}
	err = errors.Join(move(ctx, out, r), r.Close())
	return m.stop(), err
}

// move copies through memory: what is measured must not be left to the kernel, or to a shortcut of one codec.
func move(ctx context.Context, w io.Writer, r io.Reader) error {
	buf := make([]byte, buffer)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := r.Read(buf)
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
