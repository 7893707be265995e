package snapshot

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// cpu is what this process has used of the processors. Wall time says little on a machine that others use too.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// benchLayer is the layer that LBUILD_BENCH_LAYER names, or one of 2,000 files that look like text, in gzip.
func benchLayer(b *testing.B) []byte {
	b.Helper()
	if name := os.Getenv("LBUILD_BENCH_LAYER"); name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	w := tar.NewWriter(z)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		data := make([]byte, random.IntN(64<<10))
		for j := range data {
			data[j] = "etaoin shrdlu\n"[int(random.ExpFloat64()*3)%14]
		}
		hdr := tar.Header{Name: fmt.Sprintf("d%02d/f%04d", i%50, i), Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(data))}
		if err := w.WriteHeader(&hdr); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return layer.Bytes()
}

// BenchmarkUnpackLayer is one layer from its compressed bytes to a directory.
func BenchmarkUnpackLayer(b *testing.B) {
	needRoot(b)
	layer := benchLayer(b)
	dir := b.TempDir()
	var used time.Duration
	for i := 0; b.Loop(); i++ {
		before := cpu(b)
		upper := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(upper, 0o755); err != nil {
			b.Fatal(err)
		}
		if _, err := newUntar(upper, true, "trusted.overlay.opaque").unpack(b.Context(), bytes.NewReader(layer)); err != nil {
			b.Fatal(err)
		}
		used += cpu(b) - before
		b.StopTimer()
		if err := os.RemoveAll(upper); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/op")
}

func BenchmarkOpen(b *testing.B) {
	root := newRoot(b)
	openStore(b, Options{Root: root})
	for b.Loop() {
		s, err := Open(b.Context(), Options{Root: root})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecordedStep is what the store adds to a step: prepare, mount, commit with a record.
func BenchmarkRecordedStep(b *testing.B) {
	s := openStore(b, Options{})
	_, ctx := newLease(b, s)
	base := mustStep(b, ctx, s, "", write("a"))
	before := cpu(b)
	for b.Loop() {
		w, err := s.Prepare(ctx, base)
		if err != nil {
			b.Fatal(err)
		}
		dir, err := w.Mount(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := write("b")(dir); err != nil {
			b.Fatal(err)
		}
		if err := w.Commit(ctx, NewName(), Record{Key: "k"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N)/1000, "cpu-ms/op")
}

// BenchmarkRecord is the look-up of a finished step.
func BenchmarkRecord(b *testing.B) {
	s := openStore(b, Options{})
	_, ctx := newLease(b, s)
	if err := s.PutRecord(ctx, Record{Key: "k"}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Record(ctx, "k"); err != nil {
			b.Fatal(err)
		}
	}
}
