package layer_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
)

var errBroken = errors.New("broken")

// given is the content of a change that comes from elsewhere: some bytes, and an error at their end.
type given struct {
	io.Reader
	err      error
	closeErr error
}

func (g given) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if errors.Is(err, io.EOF) && g.err != nil {
		err = g.err
	}
	return n, err
}

func (g given) Close() error { return g.closeErr }

// TestContentFromElsewhereIsNotTrusted has it in a file that is read straight into the tar, one that is small, and one
// that is read ahead.
func TestContentFromElsewhereIsNotTrusted(t *testing.T) {
	const size = 300_000
	for name, tt := range map[string]struct {
		open func(size int) (io.ReadCloser, error)
		want error
	}{
		"short":        {func(n int) (io.ReadCloser, error) { return given{Reader: strings.NewReader(text(n - 1))}, nil }, diff.ErrChanged},
		"long":         {func(n int) (io.ReadCloser, error) { return given{Reader: strings.NewReader(text(n + 1))}, nil }, diff.ErrChanged},
		"empty":        {func(int) (io.ReadCloser, error) { return given{Reader: strings.NewReader("")}, nil }, diff.ErrChanged},
		"not there":    {func(int) (io.ReadCloser, error) { return nil, errBroken }, errBroken},
		"fails to end": {func(n int) (io.ReadCloser, error) { return given{strings.NewReader(text(n)), errBroken, nil}, nil }, errBroken},
		"fails early":  {func(int) (io.ReadCloser, error) { return given{strings.NewReader("x"), errBroken, nil}, nil }, errBroken},
		"fails to close": {func(n int) (io.ReadCloser, error) {
			return given{strings.NewReader(text(n)), nil, errBroken}, nil
		}, errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			for _, at := range []struct{ before, size int }{{0, size}, {0, 100}, {200, size}, {200, 100}} {
				err := fault{changes: filesThen(at.before, at.size, tt.open)}.happen(t, compress.Gzip)
				if !errors.Is(err, tt.want) {
					t.Errorf("%d bytes after %d files: %v, want %v", at.size, at.before, err, tt.want)
				}
			}
		})
	}
}

// filesThen are some files that are right, one with the content of open, and one more.
func filesThen(before, size int, open func(int) (io.ReadCloser, error)) func(func(diff.Change, error) bool) {
	return func(yield func(diff.Change, error) bool) {
		for i := range before + 2 {
			c := diff.Change{Kind: diff.Add, Path: fmt.Sprintf("f%05d", i), Mode: 0o644, Size: 3}
			c = c.WithContent(func() (io.ReadCloser, error) { return given{Reader: strings.NewReader("abc")}, nil })
			if i == before {
				c.Size = int64(size)
				c = c.WithContent(func() (io.ReadCloser, error) { return open(size) })
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}
