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

// BenchmarkStage measures what a layer goes through, each stage with those before it and without those behind it.
// Compression alone is measured in diff/compress.
func BenchmarkStage(b *testing.B) {
	dir := b.TempDir()
	if _, err := SmallFiles.Write(dir); err != nil {
		b.Fatal(err)
	}
	for _, stage := range []struct {
		name string
		run  func(diff.Change) error
	}{
		{"walk", func(diff.Change) error { return nil }},
		{"read", readChange},
	} {
		b.Run("stage="+stage.name, func(b *testing.B) {
			before := cpuTime(b)
			for b.Loop() {
				for c, err := range diff.Upper(context.Background(), diff.UpperOptions{Upper: dir}) {
					if err == nil {
						err = stage.run(c)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric((cpuTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
	b.Run("stage=tar+hash", func(b *testing.B) { packs(b, dir, compress.None) })
	b.Run("stage=tar+hash+gzip", func(b *testing.B) { packs(b, dir, compress.Gzip) })
	b.Run("stage=tar+hash+zstd", func(b *testing.B) { packs(b, dir, compress.Zstd) })
}

func readChange(c diff.Change) error {
	if !c.Mode.IsRegular() || c.Hardlink != "" {
		return nil
	}
	return c.ReadAll(make([]byte, c.Size))
}

// BenchmarkTinyLayer packs three small files, as most steps of a build leave.
func BenchmarkTinyLayer(b *testing.B) {
	dir := b.TempDir()
	if _, err := (Tree{Files: 3, Max: 1 << 10}).Write(dir); err != nil {
		b.Fatal(err)
	}
	for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
		b.Run("codec="+codec, func(b *testing.B) {
			b.ReportAllocs()
			packs(b, dir, codec)
		})
	}
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
