package source

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

const (
	magicSize = 6         // bytes: the longest magic below
	maxWindow = 128 << 20 // bytes of history that xz and zstd may ask for: twice what xz -9 does, and zstd's own limit
)

// errWindow says that an archive asks for more memory than it gets.
var errWindow = fmt.Errorf("the archive asks for a window of more than %d MiB to be decompressed", maxWindow>>20)

// decompress gives the plain bytes of r, which may be compressed with gzip, bzip2, xz or zstd. An error wraps errWindow
// when they would take too much memory. The caller closes the result; that does not close r.
func decompress(r io.Reader) (io.ReadCloser, error) {
	plain, err := decoder(r)
	if err != nil {
		return nil, windowed(err)
	}
	return &bounded{plain}, nil
}

// bounded reports a window that is too large in the same words for each format.
type bounded struct{ io.ReadCloser }

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	return n, windowed(err)
}

func windowed(err error) error {
	if errors.Is(err, xz.ErrMemlimit) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return errWindow
	}
	return err
}

func decoder(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, readBuffer)
	magic, err := b.Peek(magicSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b, 0x08}):
		return gzip.NewReader(b)
	case bytes.HasPrefix(magic, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(b)), nil
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0x00}):
		plain, err := xz.NewReader(b, maxWindow)
		return io.NopCloser(plain), err
	case isZstd(magic):
		plain, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return plain.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// isZstd knows frames and skippable frames, whose magic numbers are little-endian.
func isZstd(magic []byte) bool {
	return bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) >= 4 && magic[0]>>4 == 0x5 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18})
}
