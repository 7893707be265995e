package bench

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"golang.org/x/sys/unix"
)

// BenchmarkLayer packs a whole tree into a layer: walk, tar, both digests and compression, without writing the blob.
// MB/s are those of the tar.
func BenchmarkLayer(b *testing.B) {
	for _, tree := range []struct {
		name string
		Tree
	}{
		{"small", SmallFiles},
		{"large", LargeFiles},
	} {
		b.Run("files="+tree.name, func(b *testing.B) {
			dir := b.TempDir()
			if _, err := tree.Write(dir); err != nil {
				b.Fatal(err)
			}
			for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
				b.Run("codec="+codec, func(b *testing.B) { packs(b, dir, codec) })
			}
		})
	}
}

func packs(b *testing.B, dir, codec string) {
	var r layer.Result
	before := cpuTime(b)
	for b.Loop() {
		ctx := context.Background()
		changes := diff.Upper(ctx, diff.UpperOptions{Upper: dir})
		var err error
		r, err = layer.Write(ctx, io.Discard, changes, layer.Options{Compression: compress.Compression{Name: codec}})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(r.UncompressedSize)
	b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(r.UncompressedSize)/float64(r.Size), "ratio")
	b.ReportMetric(float64(r.Entries), "entries")
}

// cpuTime is what this process used of all cores, in user and kernel. It moves less than the wall clock on a machine
// that does other things too.
func cpuTime(b *testing.B) time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
