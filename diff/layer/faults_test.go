package layer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
	"go.uber.org/goleak"
)

var codecs = []string{compress.None, compress.Gzip, compress.Zstd}

// fault is one layer that cannot be written.
type fault struct {
	changes iter.Seq2[diff.Change, error]
	w       io.Writer // default: a buffer
	ctx     context.Context
}

// happen writes the layer with one codec and returns the error. It fails the test if there is a result, if what was
// written looks like a layer, or if anything is left.
func (f fault) happen(t *testing.T, codec string) error {
	t.Helper()
	var blob bytes.Buffer
	if f.w == nil {
		f.w = &blob
	}
	if f.ctx == nil {
		f.ctx = context.Background()
	}
	open := descriptors(t)
	opts := layer.Options{Compression: compress.Compression{Name: codec}, Workers: 3}
	got, err := layer.Write(f.ctx, f.w, f.changes, opts)
	if d := cmp.Diff(layer.Result{}, got); d != "" && err != nil {
		t.Errorf("%s: error %v, result (-want +got):\n%s", codec, err, d)
	}
	if err != nil && looksWhole(codec, blob.Bytes()) {
		t.Errorf("%s: error %v, and %d bytes that look like a layer", codec, err, blob.Len())
	}
	if now := descriptors(t); now != open {
		t.Errorf("%s: error %v, and %d descriptors more", codec, err, now-open)
	}
	goleak.VerifyNone(t)
	return err
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// looksWhole reports whether a blob can be decompressed to its end and has the end of an archive.
func looksWhole(codec string, blob []byte) bool {
	var r io.Reader = bytes.NewReader(blob)
	switch codec {
	case compress.Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return false
		}
		r = z
	case compress.Zstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			return false
		}
		defer z.Close()
		r = z
	}
	plain, err := io.ReadAll(r)
	if codec != compress.None && len(blob) > 0 && err == nil {
		return true // the stream was ended
	}
	return err == nil && bytes.HasSuffix(plain, make([]byte, 2*512))
}

// text has no stretch of zeros in it, and some weight when compressed.
func text(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%x\n", i*i*2654435761)
	}
	return b.String()[:size]
}

func TestWriteTellsAWriterThatFailsAnywhere(t *testing.T) {
	for _, size := range []int{100, 1_200_000} {
		opts := upperOf(t, fmt.Sprintf("a %q\nd/\nd/f %q", text(size), text(3)))
		for _, codec := range codecs {
			var blob bytes.Buffer
			whole := layer.Options{Compression: compress.Compression{Name: codec}}
			if _, err := layer.Write(context.Background(), &blob, diff.Upper(context.Background(), opts), whole); err != nil {
				t.Fatal(err)
			}
			for _, limit := range cuts(blob.Len()) {
				w := &limited{limit}
				err := fault{changes: diff.Upper(context.Background(), opts), w: w}.happen(t, codec)
				if !errors.Is(err, errFull) {
					t.Errorf("%s, after %d of %d bytes: %v", codec, limit, blob.Len(), err)
				}
			}
		}
	}
}

// cuts are numbers below size, near both ends, the borders of blocks, and between.
func cuts(size int) []int {
	all := []int{0, 1, 9, 10, 11, 18, 511, 512, 513, 1024, 256<<10 - 1, 256 << 10, 256<<10 + 1}
	for _, fromEnd := range []int{1, 2, 4, 8, 9, 511, 512, 513, 1024, 1025} {
		all = append(all, size-fromEnd)
	}
	for i := 1; i < 5; i++ {
		all = append(all, size*i/5)
	}
	var below []int
	for _, n := range all {
		if n >= 0 && n < size {
			below = append(below, n)
		}
	}
	return below
}

// countdown is a context that ends when it is asked so many times.
type countdown struct {
	context.Context
	left *atomic.Int64
}

func newCountdown(left int) countdown {
	c := countdown{context.Background(), new(atomic.Int64)}
	c.left.Store(int64(left))
	return c
}

func (c countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestWriteEndsWithTheContextAtAnyPoint ends the context each time that it is looked at, until it is not any more.
func TestWriteEndsWithTheContextAtAnyPoint(t *testing.T) {
	big := text(300_000)
	made := treetest.Lower(t,
		fmt.Sprintf("a %q\nb %q\nd/\nd/e/\nd/e/f \"y\"\nsame %q", big, big, big),
		fmt.Sprintf("d/\nd/e/\nd/e/f \"x\"\nsame %q", big),
	)
	opts := diff.UpperOptions{Upper: made[0], Lower: made[1:]}
	for _, codec := range codecs {
		points := 0
		for ; ; points++ {
			ctx := newCountdown(points)
			err := fault{changes: diff.Upper(ctx, opts), ctx: ctx}.happen(t, codec)
			if err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%s, point %d: %v", codec, points, err)
			}
		}
		if points < 25 {
			t.Errorf("%s: %d points, want one for each entry and each piece of a file", codec, points)
		}
	}
}

func TestAFailedWalkLeavesNothingThatLooksWhole(t *testing.T) {
	errWalk := errors.New("walk")
	opts := upperOf(t, fmt.Sprintf("a %q\nb %q\nc \"x\"", text(10), text(3_000_000)))
	for _, codec := range codecs {
		for after := range 5 {
			changes := func(yield func(diff.Change, error) bool) {
				seen := 0
				for c, err := range diff.Upper(context.Background(), opts) {
					if seen == after {
						break
					}
					if seen++; !yield(c, err) {
						return
					}
				}
				yield(diff.Change{}, errWalk)
			}
			if err := (fault{changes: changes}).happen(t, codec); !errors.Is(err, errWalk) {
				t.Errorf("%s, after %d changes: %v", codec, after, err)
			}
		}
	}
}

// meddler calls a function once so many bytes went through.
type meddler struct {
	left   int
	meddle func() error
}

func (m *meddler) Write(p []byte) (int, error) {
	was := m.left
	m.left -= len(p)
	if was > 0 && m.left <= 0 {
		return len(p), m.meddle()
	}
	return len(p), nil
}

func TestWriteTellsAFileThatChangesInTheMiddle(t *testing.T) {
	const size = 3_000_000
	for name, meddle := range map[string]func(path string) error{
		"vanishes":  os.Remove,
		"grows":     func(path string) error { return os.Truncate(path, size+1) },
		"shrinks":   func(path string) error { return os.Truncate(path, size-1) },
		"is cut":    func(path string) error { return os.Truncate(path, 0) },
		"is edited": func(path string) error { return os.WriteFile(path, []byte(text(size)), 0o644) },
		"becomes a directory": func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
		},
		"becomes another": func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte(text(size)), 0o644), os.Rename(path+"2", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := upperOf(t, fmt.Sprintf("d/\nd/f %q", text(size)))
			path := filepath.Join(opts.Upper, "d/f")
			w := &meddler{left: 1 << 20, meddle: func() error { return meddle(path) }}
			err := fault{changes: diff.Upper(context.Background(), opts), w: w}.happen(t, compress.None)
			wantPathError(t, err, "d/f", diff.ErrChanged)
		})
	}
}

func TestWriteTellsATreeThatChangesDuringTheWalk(t *testing.T) {
	for _, c := range []struct {
		name     string
		at, path string // when it happens, and what the error names
		meddle   func(dir string) error
	}{
		{"a file vanishes", "d/e", "d/f", func(dir string) error { return os.Remove(dir + "/d/f") }},
		{"a file in the root vanishes", "d", "z", func(dir string) error { return os.Remove(dir + "/z") }},
		{"a link vanishes", "d/e", "d/g", func(dir string) error { return os.Remove(dir + "/d/g") }},
		{"a directory vanishes", "d", "d", func(dir string) error { return os.RemoveAll(dir + "/d") }},
		{"a directory becomes a file", "d", "d", func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/d"), os.WriteFile(dir+"/d", nil, 0o644))
		}},
		{"a directory becomes a link out of the tree", "d", "d", func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/d"), os.Symlink("/etc", dir+"/d"))
		}},
		{"a parent vanishes", "d/e", "d/e", func(dir string) error { return os.RemoveAll(dir + "/d") }},
	} {
		for _, lower := range []string{"", "d/ mode=0700\nd/f\nd/g -> y"} {
			t.Run(fmt.Sprintf("%s, lower %q", c.name, lower), func(t *testing.T) {
				made := treetest.Lower(t, "d/\nd/e \"1\"\nd/f \"2\"\nd/g -> x\nz \"3\"", lower)
				opts := diff.UpperOptions{Upper: made[0]}
				if lower != "" {
					opts.Lower = made[1:]
				}
				changes := func(yield func(diff.Change, error) bool) {
					for change, err := range diff.Upper(context.Background(), opts) {
						if err == nil && change.Path == c.at {
							err = c.meddle(opts.Upper)
						}
						if !yield(change, err) {
							return
						}
					}
				}
				err := fault{changes: changes}.happen(t, compress.Gzip)
				wantPathError(t, err, c.path, diff.ErrChanged)
			})
		}
	}
}
