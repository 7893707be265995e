package compress

import (
	"crypto/sha256"
	"io"
	"testing"
)

// BenchmarkWriter compresses what a tree of text and noise, zeros alone, and noise alone would be, with one worker, so
// that the time is that of a core.
func BenchmarkWriter(b *testing.B) {
	for _, in := range []struct {
		name string
		data []byte
	}{{"text", input(16 << 20)}, {"zeros", make([]byte, 16<<20)}, {"mixed", mixed()}, {"tiny", input(4 << 10)}} {
		for _, name := range []string{"none", "gzip:1", "gzip:5", "gzip:6", "gzip:9", "zstd:1", "zstd:3", "zstd:7"} {
			b.Run("in="+in.name+"/codec="+name, func(b *testing.B) {
				c, err := Parse(name)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(in.data)))
				b.ReportAllocs()
				for b.Loop() {
					b.ReportMetric(float64(len(in.data))/float64(stream(b, c, in.data)), "ratio")
				}
			})
		}
	}
}

// stream compresses to nowhere and returns the size.
func stream(b *testing.B, c Compression, in []byte) (size int) {
	b.Helper()
	count := counter{n: &size}
	w, err := c.NewWriter(count, 1)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(in); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return size
}

type counter struct{ n *int }

func (c counter) Write(p []byte) (int, error) {
	*c.n += len(p)
	return len(p), nil
}

// BenchmarkHash is what a layer costs at least.
func BenchmarkHash(b *testing.B) {
	in := input(16 << 20)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := io.Writer(sha256.New()).Write(in); err != nil {
			b.Fatal(err)
		}
	}
}
