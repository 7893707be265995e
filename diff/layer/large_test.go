package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

// head keeps the first bytes and fails then.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	if h.Len() > 0 {
		return 0, errFull
	}
	return h.Buffer.Write(p)
}

func TestSizesNeedOneHeaderOrTwo(t *testing.T) {
	const mostInOne = 1<<33 - 1 // 11 octal digits
	for size, want := range map[int64]tar.Format{
		mostInOne:     tar.FormatUSTAR,
		mostInOne + 1: tar.FormatPAX,
		1 << 40:       tar.FormatPAX,
	} {
		opts := upperOf(t, fmt.Sprintf("f size=%d", size))
		ctx := context.Background()
		h := &head{}
		_, err := layer.Write(ctx, h, diff.Upper(ctx, opts), layer.Options{Compression: compress.Compression{Name: compress.None}})
		if !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		tr := tar.NewReader(h)
		if _, err := tr.Next(); err != nil { // the root
			t.Fatal(err)
		}
		hdr, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		if hdr.Size != size || hdr.Format != want {
			t.Errorf("%d bytes: header of %d, format %s, want %s", size, hdr.Size, hdr.Format, want)
		}
	}
}
