package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/lbuild/lbuild/bench/corpus"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

// Input is something to compress. Run calls Write once, and keeps what it wrote in a file.
type Input struct {
	// Name is what the report calls it.
	Name string
	// Corpus says that Seed is what the bytes were made from, for the report.
	Corpus bool
	Seed   uint64
	// Write writes the bytes to compress, plain. It must be set.
	Write func(ctx context.Context, w io.Writer) error
}

// Corpus is a seeded tar.
func Corpus(s corpus.Spec) (Input, error) {
	s, err := s.Resolved()
	return Input{Name: s.Name, Corpus: true, Seed: s.Seed, Write: s.Write}, err
}

// Directory is a directory as lbuild packs it: as an upper directory that has nothing below it.
func Directory(path string) Input {
	return Input{Name: filepath.Clean(path), Write: func(ctx context.Context, w io.Writer) error {
		changes := diff.Upper(ctx, diff.UpperOptions{Upper: path})
		_, err := layer.Write(ctx, w, changes, layer.Options{Compression: compress.Compression{Name: compress.None}})
		return err
	}}
}

// File is a tar or any other file. What is in gzip or zstd is decompressed first, as codecs would find nothing to do.
func File(path string) Input {
	return Input{Name: filepath.Clean(path), Write: func(ctx context.Context, w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := plain(bufio.NewReaderSize(f, buffer))
		if err != nil {
			return err
		}
		return errors.Join(move(ctx, w, r), r.Close())
	}}
}

// plain goes by the first bytes of r.
func plain(r *bufio.Reader) (io.ReadCloser, error) {
	magic, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return readGzip(r)
	case isZstd(magic):
		return readZstd(r)
	}
	return newPlain(r)
}

// isZstd knows both kinds of frames: a stream may begin with one that readers skip, as pzstd writes.
func isZstd(magic []byte) bool {
	return bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18})
}
