package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// bay is where an input and its compressed form lie while it is measured.
type bay struct {
	in, blob *os.File // they have no names any more
	size     int64    // of the input
	digest   digest.Digest
}

// newBay writes the input to a file.
func newBay(ctx context.Context, dir string, input Input) (_ *bay, err error) {
	b := &bay{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.in, err = nameless(dir); err != nil {
		return nil, err
	}
	if b.blob, err = nameless(dir); err != nil {
		return nil, err
	}
	sum := digest.SHA256.Digester()
	both := io.MultiWriter(b.in, sum.Hash())
	err = input.Write(ctx, writeFunc(func(p []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		return both.Write(p)
	}))
	if err != nil {
		return nil, err
	}
	b.digest = sum.Digest()
	b.size, err = b.in.Seek(0, io.SeekCurrent)
	switch {
	case err != nil:
		return nil, err
	case b.size == 0:
		return nil, errors.New("there is nothing to compress")
	}
	// Else the kernel writes the input to the disk while the first candidates are measured.
	return b, b.in.Sync()
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// nameless makes a file that is gone when it is closed, or when the process ends.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "lbuild-bench-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (b *bay) close() error {
	var errs []error
	for _, f := range []*os.File{b.in, b.blob} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// rewind makes both files be read from their start.
func (b *bay) rewind() error {
	_, err := b.in.Seek(0, io.SeekStart)
	_, err2 := b.blob.Seek(0, io.SeekStart)
	return errors.Join(err, err2)
}

// measure compresses, proves the result, and decompresses.
func (b *bay) measure(ctx context.Context, c candidate, child []string) (Sample, error) {
	if err := errors.Join(b.rewind(), b.blob.Truncate(0)); err != nil {
		return Sample{}, err
	}
	cost, err := b.pack(ctx, c, child)
	if err != nil {
		return Sample{}, err
	}
	s := Sample{Cost: cost}
	if s.Digest, s.Size, err = b.prove(ctx, c); err != nil {
		return Sample{}, err
	}
	if err := b.rewind(); err != nil {
		return Sample{}, err
	}
	s.Decompress, err = b.unpack(ctx, c, child)
	return s, err
}

// pack compresses the input, in the process that the candidate calls for.
func (b *bay) pack(ctx context.Context, c candidate, child []string) (Cost, error) {
	switch {
	case c.engine.program != nil:
		return c.engine.program.run(ctx, b.in, b.blob, c.engine.program.packs(c.engine.level, c.workers)...)
	case c.codec.Custom == nil && len(child) > 0:
		return runChild(ctx, child, b.in, b.blob, passPack, c.codec.String(), fmt.Sprint(c.workers))
	}
	return c.engine.pack(ctx, b.in, b.blob, c.workers)
}

// unpack decompresses to nowhere.
func (b *bay) unpack(ctx context.Context, c candidate, child []string) (Cost, error) {
	switch {
	case c.engine.program != nil:
		return c.engine.program.run(ctx, b.blob, nil, "-dc")
	case c.codec.Custom == nil && len(child) > 0:
		return runChild(ctx, child, b.blob, nil, passUnpack, c.codec.String(), fmt.Sprint(c.workers))
	}
	return c.engine.unpack(ctx, b.blob, io.Discard)
}

// prove decompresses once without a clock, compares digests, and tells the digest and size of the compressed form.
func (b *bay) prove(ctx context.Context, c candidate) (blob digest.Digest, size int64, err error) {
	if err := b.rewind(); err != nil {
		return "", 0, err
	}
	sum := digest.SHA256.Digester()
	if size, err = io.Copy(sum.Hash(), b.blob); err != nil {
		return "", 0, err
	}
	if err := b.rewind(); err != nil {
		return "", 0, err
	}
	back := sha256.New()
	if c.engine.program != nil {
		_, err = c.engine.program.run(ctx, b.blob, back, "-dc")
	} else {
		_, err = c.engine.unpack(ctx, b.blob, back)
	}
	if err != nil {
		return "", 0, fmt.Errorf("decompress: %w", err)
	}
	if digest.NewDigest(digest.SHA256, back) != b.digest {
		return "", 0, ErrCorrupt
	}
	return sum.Digest(), size, nil
}
