package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// large is so many bytes that neither reading nor copying them ends before the test looks.
const large = 4 << 30

func largeTree(t *testing.T) (dir string) {
	t.Helper()
	dir = makeTree(t, "d/f \"\"")
	must(t, os.Truncate(filepath.Join(dir, "d", "f"), large)) // a hole: it takes no room
	return dir
}

func TestDigestOfALargeFileStopsWhenCanceled(t *testing.T) {
	sel := selectAll(t, openTree(t, largeTree(t), Options{}), "d")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := sel.Digest(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
}

func TestCopyOfALargeFileStopsWhenCanceled(t *testing.T) {
	dir := largeTree(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := &copier{}
	c.noClone.Store(true) // sharing blocks takes no time
	src, err := os.Open(filepath.Join(dir, "d", "f"))
	must(t, err)
	dst, err := os.Create(filepath.Join(dir, "copy"))
	must(t, err)
	if err := c.bytes(ctx, dst, src, large); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
	must(t, errors.Join(src.Close(), dst.Close()))
}
