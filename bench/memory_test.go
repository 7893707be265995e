package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
	"golang.org/x/sys/unix"
)

const maxResident = 128 << 20 // bytes

// BenchmarkMemory packs trees that are large in one way, each in a process of its own, and tells how much memory was
// resident at most. More than maxResident is a failure.
func BenchmarkMemory(b *testing.B) {
	for _, tree := range []struct {
		name string
		make func(dir string) error
	}{
		{"one-directory=100000", makeWide},
		{"levels=500", makeDeep},
		{"sparse=10GB", makeSparse},
	} {
		b.Run(tree.name, func(b *testing.B) {
			dir := b.TempDir()
			if err := tree.make(dir); err != nil {
				b.Fatal(err)
			}
			for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
				b.Run("codec="+codec, func(b *testing.B) { packsElsewhere(b, dir, codec) })
			}
		})
	}
}

func makeWide(dir string) error {
	for i := range 100_000 {
		path := filepath.Join(dir, fmt.Sprintf("a-file-with-a-name-of-usual-length-%06d", i))
		if err := unix.Mknod(path, unix.S_IFREG|0o644, 0); err != nil {
			return err
		}
	}
	return nil
}

// makeDeep makes a path that is longer than a system call takes, so it goes down one level at a time.
func makeDeep(dir string) error {
	at, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	name := strings.Repeat("d", 20)
	for range 500 {
		if err := at.WriteFile("f", []byte("content"), 0o644); err != nil {
			return err
		}
		if err := at.Mkdir(name, 0o755); err != nil {
			return err
		}
		next, err := at.OpenRoot(name)
		at.Close()
		if err != nil {
			return err
		}
		at = next
	}
	return at.Close()
}

// makeSparse makes a file of 10 GB with 1 MB of data in 16 places.
func makeSparse(dir string) error {
	const size, pieces, piece = 10_000_000_000, 16, 64 << 10
	f, err := os.Create(filepath.Join(dir, "disk.img"))
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	buf := make([]byte, piece)
	data := newContent(0)
	for i := 0; i < pieces && err == nil; i++ {
		if _, err = io.ReadFull(data, buf); err == nil {
			_, err = f.WriteAt(buf, size/pieces*int64(i)+12345)
		}
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// packing is what a child process tells of one layer.
type packing struct {
	UncompressedSize int64
	Entries          int
	Read             int64 // bytes, of files and of directories
	Seconds, CPU     float64
	Resident         int64 // bytes, at most
}

func packsElsewhere(b *testing.B, dir, codec string) {
	var p packing
	for b.Loop() {
		p = elsewhere(b, dir, codec)
	}
	b.SetBytes(p.UncompressedSize)
	b.ReportMetric(float64(p.Resident)/(1<<20), "MiB-resident")
	b.ReportMetric(p.Seconds, "s/layer")
	b.ReportMetric(p.CPU, "cpu-s/layer")
	b.ReportMetric(float64(p.Read)/1e6, "MB-read")
	b.ReportMetric(float64(p.Entries), "entries")
	b.ReportMetric(0, "ns/op") // of s/layer and of the start of a process
	if p.Resident > maxResident {
		b.Errorf("%d bytes were resident, want %d at most", p.Resident, maxResident)
	}
}

// childEnv makes the test program pack one layer: "DIR CODEC".
const childEnv = "LBUILD_BENCH_PACK"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func elsewhere(b *testing.B, dir, codec string) (p packing) {
	b.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+dir+" "+codec)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &p)
	}
	if err != nil {
		b.Fatal(err)
	}
	use := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	p.CPU = (time.Duration(use.Utime.Nano()) + time.Duration(use.Stime.Nano())).Seconds()
	return p
}

func child(what string) error {
	dir, codec, _ := strings.Cut(what, " ")
	began := time.Now()
	ctx := context.Background()
	r, err := layer.Write(ctx, io.Discard, diff.Upper(ctx, diff.UpperOptions{Upper: dir}),
		layer.Options{Compression: compress.Compression{Name: codec}})
	if err != nil {
		return err
	}
	p := packing{UncompressedSize: r.UncompressedSize, Entries: r.Entries, Seconds: time.Since(began).Seconds()}
	if p.Read, err = ownNumber("io", "rchar"); err != nil {
		return err
	}
	kilobytes, err := ownNumber("status", "VmHWM")
	p.Resident = kilobytes << 10
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(p)
}

// ownNumber is one that the kernel keeps of this process. The peak of its memory comes from here, because that of rusage
// starts with what the parent had.
func ownNumber(file, name string) (n int64, err error) {
	b, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			_, err := fmt.Sscan(value, &n)
			return n, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/self/%s", name, file)
}
