// Package corpus makes tars with the kinds of files that images hold, from a seed. A tar depends on its Spec alone: it is
// the same to the last byte on every machine and with every version of Go, so that figures taken on one compare with
// those of another.
package corpus

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The names of the corpora.
const (
	// Text is many small files of source code, configuration and prose.
	Text = "text"
	// Binaries is executables and libraries in the format ELF.
	Binaries = "binaries"
	// Node is a node_modules directory: many packages with scripts, source maps and the same few licenses.
	Node = "node"
	// Media is pictures, which are compressed already.
	Media = "media"
	// Sparse is disk images: zeros with some data in between.
	Sparse = "sparse"
	// Mixed is all of these, in about the shares that images have.
	Mixed = "mixed"
)

// Names lists the corpora, in the order of their constants.
func Names() []string { return []string{Text, Binaries, Node, Media, Sparse, Mixed} }

// DefaultSize is that of a Spec which says none, in bytes.
const DefaultSize = 64_000_000

// Spec describes a corpus. Its zero value is the mixed one with the default size.
type Spec struct {
	// Name is one of Names. Default: Mixed.
	Name string
	// Seed makes corpora of the same kind differ. The zero seed is one as good as any other.
	Seed uint64
	// Size is about how many bytes the tar has, to within a few thousand. Default: DefaultSize.
	Size int64
}

// Resolved returns s with nothing left to default, or an error where it cannot be made.
func (s Spec) Resolved() (Spec, error) {
	if s.Name == "" {
		s.Name = Mixed
	}
	if s.Size == 0 {
		s.Size = DefaultSize
	}
	if !slices.Contains(Names(), s.Name) {
		return s, fmt.Errorf("corpus %q is unknown (want %s)", s.Name, strings.Join(Names(), ", "))
	}
	if s.Size < 0 {
		return s, errors.New("the size of a corpus is below 0")
	}
	return s, nil
}

// Write writes the tar. It holds one file in memory at a time.
func (s Spec) Write(ctx context.Context, w io.Writer) error {
	s, err := s.Resolved()
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	for _, p := range partsOf(s.Name) {
		files := p.make(newSource(s.Seed, p.name))
		if err := fill(ctx, tw, files, (s.Size-trailer)*p.share/100); err != nil {
			return fmt.Errorf("corpus %s: %w", s.Name, err)
		}
	}
	return tw.Close()
}

// file is one file of a corpus.
type file struct {
	path string
	mode int64
	data []byte // the maker's until the next file
}

// maker makes the files of a corpus, without end. The number counts them, and makes their paths differ.
type maker func(number int) file

// part is how much of a corpus is of one kind.
type part struct {
	name  string
	make  func(*source) maker
	share int64 // percent
}

func partsOf(name string) []part {
	if name == Mixed {
		return []part{
			{Text, newText, 15},
			{Binaries, newBinaries, 45},
			{Node, newNode, 25},
			{Media, newMedia, 10},
			{Sparse, newSparse, 5},
		}
	}
	makers := map[string]func(*source) maker{
		Text: newText, Binaries: newBinaries, Node: newNode, Media: newMedia, Sparse: newSparse,
	}
	return []part{{name, makers[name], 100}}
}

// What tar takes beside the data.
const (
	block   = 512
	trailer = 2 * block
)

// madeAt is the time of all files.
var madeAt = time.Unix(1_700_000_000, 0)

// fill writes files until size is used up. The last one is cut.
func fill(ctx context.Context, tw *tar.Writer, files maker, size int64) error {
	for number := 0; size > block; number++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		f := files(number)
		f.data = f.data[:min(int64(len(f.data)), size-block)]
		size -= block + (int64(len(f.data))+block-1)/block*block
		header := tar.Header{
			Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.data)), ModTime: madeAt, Format: tar.FormatUSTAR,
		}
		if err := tw.WriteHeader(&header); err != nil {
			return err
		}
		if _, err := tw.Write(f.data); err != nil {
			return err
		}
	}
	return nil
}
