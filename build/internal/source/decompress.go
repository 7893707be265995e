package source

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const (
	magicSize = 6         // bytes: the longest magic below
	maxWindow = 128 << 20 // bytes of history that a zstd frame may ask for, as the zstd program has it
)

// decompress gives the plain bytes of r, which may be compressed with gzip, bzip2, xz or zstd. The caller closes the
// result; that does not close r.
func decompress(r io.Reader) (io.ReadCloser, error) {
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
		plain, err := xz.NewReader(b)
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
