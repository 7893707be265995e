package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/layer"
	"golang.org/x/sys/unix"
)

const (
	changedFiles = 100
	maxCost      = 100 * time.Millisecond // of all cores
)

// BenchmarkCost packs what changed in 100 files, over small and large lower directories. It should not matter how large,
// and more than maxCost of CPU time is a failure.
func BenchmarkCost(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("only root can mount overlays")
	}
	for _, files := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("lower=%d", files), func(b *testing.B) {
			opts := mountChanged(b, files)
			runtime.GC() // of what was made before
			before := cpuTime(b)
			for b.Loop() {
				ctx := context.Background()
				r, err := layer.Write(ctx, io.Discard, diff.Upper(ctx, opts), layer.Options{})
				if err != nil || r.Entries != 2*changedFiles {
					b.Fatalf("%d entries: %v", r.Entries, err)
				}
			}
			cost := (cpuTime(b) - before) / time.Duration(b.N)
			b.ReportMetric(float64(cost.Microseconds())/1000, "cpu-ms/op")
			if cost > maxCost {
				b.Errorf("%s of CPU time, want %s at most", cost, maxCost)
			}
		})
	}
}

// mountChanged mounts an overlay over so many files in 100 directories, and changes one file in each.
func mountChanged(b *testing.B, files int) diff.UpperOptions {
	dir := b.TempDir()
	mount(b, "tmpfs", dir, "nr_inodes=0,size=50%")
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(path(name), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	for d := range changedFiles {
		if err := makeLower(path(fmt.Sprintf("lower/d%02d", d)), files/changedFiles); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d lower files made in %s", files, time.Since(began).Round(time.Millisecond))
	mount(b, "overlay", path("merged"), fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", path("lower"), path("upper"), path("work")))
	for d := range changedFiles {
		if err := os.WriteFile(path(fmt.Sprintf("merged/d%02d/f3", d)), []byte("changed"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return diff.UpperOptions{Upper: path("upper"), Lower: []string{path("lower")}}
}

// makeLower makes files without data, which cost the least.
func makeLower(dir string, files int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range files {
		if err := unix.Mknod(filepath.Join(dir, fmt.Sprintf("f%d", i)), unix.S_IFREG|0o644, 0); err != nil {
			return err
		}
	}
	return nil
}

func mount(b *testing.B, kind, dir, options string) {
	b.Helper()
	if err := unix.Mount(kind, dir, kind, 0, options); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			b.Errorf("unmount %s: %v", dir, err)
		}
	})
}
