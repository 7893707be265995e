package difftest_test

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/difftest"
	"github.com/lbuild/lbuild/diff/layer"
)

// lbuild is lbuild's own differ.
func lbuild(ctx context.Context, in difftest.Input, w io.Writer) error {
	changes := diff.Upper(ctx, diff.UpperOptions{Upper: in.Upper, Lower: in.Lower, UserXattr: in.UserXattr})
	_, err := layer.Write(ctx, w, changes, layer.Options{Compression: compress.Compression{Name: compress.None}})
	return err
}

func TestLbuildPassesEveryRow(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount overlays and make devices")
	}
	difftest.Test(t, lbuild, difftest.Options{Exact: true})
}
