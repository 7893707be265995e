package layer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
	"golang.org/x/sys/unix"
)

// manyFiles makes a tree that is read ahead: small files with and without content, some that are too large for it, and
// what has none.
func manyFiles(t *testing.T, count int) diff.UpperOptions {
	t.Helper()
	var tree strings.Builder
	content := text(200_000)
	for i := range count {
		if i%50 == 0 {
			fmt.Fprintf(&tree, "d%03d/\n", i/50)
		}
		fmt.Fprintf(&tree, "d%03d/f%05d %q\n", i/50, i, content[i:i+i*7%3000])
		switch i % 100 {
		case 20:
			fmt.Fprintf(&tree, "d%03d/l%05d -> f%05d\n", i/50, i, i)
		case 40:
			fmt.Fprintf(&tree, "d%03d/f%05d-large %q\n", i/50, i, content)
		case 60:
			fmt.Fprintf(&tree, "d%03d/f%05d-sparse size=100000\n", i/50, i)
		}
	}
	return upperOf(t, tree.String())
}

// oneByOne packs each change into a layer of its own, which takes no goroutine, and puts them together.
func oneByOne(t *testing.T, opts diff.UpperOptions) []byte {
	t.Helper()
	const end = 1024 // bytes
	var all []byte
	ctx := context.Background()
	for c, err := range diff.Upper(ctx, opts) {
		if err != nil {
			t.Fatal(err)
		}
		only := func(yield func(diff.Change, error) bool) { yield(c, nil) }
		var one bytes.Buffer
		if _, err := layer.Write(ctx, &one, only, layer.Options{Compression: compress.Compression{Name: compress.None}}); err != nil {
			t.Fatal(err)
		}
		all = append(all, one.Bytes()[:one.Len()-end]...)
	}
	return append(all, make([]byte, end)...)
}

func TestReadingAheadChangesNothing(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	opts := manyFiles(t, 500)
	want := oneByOne(t, opts)
	for _, cores := range []int{1, 2} {
		runtime.GOMAXPROCS(cores)
		for range 3 {
			if got := pack(t, opts, 1); !bytes.Equal(got, want) {
				t.Errorf("%d cores: %d bytes, want the %d of the changes one by one", cores, len(got), len(want))
			}
		}
	}
}

// TestTheFirstFailureInOrderIsTold breaks two files that are read side by side, and the walk behind them.
func TestTheFirstFailureInOrderIsTold(t *testing.T) {
	for _, at := range []int{0, 127, 128, 450} {
		opts := manyFiles(t, 600)
		first := fmt.Sprintf("d%03d/f%05d", at/50, at)
		changes := func(yield func(diff.Change, error) bool) {
			for c, err := range diff.Upper(context.Background(), opts) {
				if c.Path == first || strings.HasSuffix(c.Path, "f00599") {
					if err := os.Truncate(filepath.Join(opts.Upper, c.Path), 5000); err != nil {
						t.Error(err)
					}
				}
				if !yield(c, err) {
					return
				}
			}
			yield(diff.Change{}, errFull)
		}
		err := fault{changes: changes}.happen(t, compress.Gzip)
		wantPathError(t, err, first, diff.ErrChanged)
	}
}

func TestReadingAheadEndsWithTheContextAtAnyPoint(t *testing.T) {
	opts := manyFiles(t, 500)
	for points := 0; points < 2500; points += 167 {
		ctx := newCountdown(points)
		err := fault{changes: diff.Upper(ctx, opts), ctx: ctx}.happen(t, compress.Zstd)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("point %d: %v", points, err)
		}
	}
}

func TestReadingAheadEndsWithTheWriter(t *testing.T) {
	opts := manyFiles(t, 500)
	for _, codec := range codecs {
		for _, limit := range []int{0, 10, 50_000} {
			err := fault{changes: diff.Upper(context.Background(), opts), w: &limited{limit}}.happen(t, codec)
			if !errors.Is(err, errFull) {
				t.Errorf("%s, after %d bytes: %v", codec, limit, err)
			}
		}
	}
}

// media makes a tree of what gets no smaller, and of zeros with and without a place on the disk.
func media(t *testing.T) diff.UpperOptions {
	t.Helper()
	opts := upperOf(t, fmt.Sprintf("text %q\nhole size=6000000\nzeros size=1", text(500_000)))
	noise := make([]byte, 5<<20+77)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"photo": noise, "zeros": make([]byte, 3<<20)} {
		if err := os.WriteFile(filepath.Join(opts.Upper, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return opts
}

// inflates fails unless a file is one gzip member and nothing else.
const inflates = `
import sys, zlib
d = zlib.decompressobj(31)
size = len(d.decompress(open(sys.argv[1], "rb").read())) + len(d.flush())
assert d.eof and not d.unused_data, "not one member"
print(size)
`

func TestOtherProgramsReadTheBlob(t *testing.T) {
	treetest.NeedPrograms(t, "gzip", "zstd", "python3", "tar")
	for name, opts := range map[string]diff.UpperOptions{"media": media(t), "files": manyFiles(t, 300)} {
		for _, c := range []struct{ compression, test string }{
			{"gzip", "gzip -t BLOB && gzip -dc BLOB | tar t"},
			{"gzip:1", "gzip -t BLOB"},
			{"gzip:9", "gzip -t BLOB"},
			{"gzip:5", "python3 -c '" + inflates + "' BLOB"},
			{"zstd", "zstd -qt BLOB && zstd -qdc BLOB | tar t"},
			{"zstd:1", "zstd -qt BLOB"},
			{"zstd:9", "zstd -qt BLOB"},
			{"zstd:19", "zstd -qt BLOB"},
			{"none", "tar tf BLOB"},
		} {
			blob := filepath.Join(t.TempDir(), "blob")
			r := packTo(t, blob, opts, c.compression)
			out, err := exec.Command("sh", "-c", strings.ReplaceAll(c.test, "BLOB", blob)).CombinedOutput()
			if err != nil {
				t.Errorf("%s, %s: %v\n%s", name, c.compression, err, out)
			}
			if strings.HasPrefix(c.test, "python3") && strings.TrimSpace(string(out)) != fmt.Sprint(r.UncompressedSize) {
				t.Errorf("%s: %s bytes, want %d", name, out, r.UncompressedSize)
			}
		}
	}
}

func packTo(t *testing.T, path string, opts diff.UpperOptions, compression string) layer.Result {
	t.Helper()
	c, err := compress.Parse(compression)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r, err := layer.Write(ctx, f, diff.Upper(ctx, opts), layer.Options{Compression: c, Workers: 2})
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMediaHasTheSameDigestOnAnyNumberOfCores(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	opts := media(t)
	for _, codec := range codecs {
		results := map[layer.Result]bool{}
		for _, cores := range []int{1, 2} {
			runtime.GOMAXPROCS(cores)
			for _, workers := range []int{1, 2, 4} {
				var blob bytes.Buffer
				ctx := context.Background()
				r, err := layer.Write(ctx, &blob, diff.Upper(ctx, opts),
					layer.Options{Compression: compress.Compression{Name: codec}, Workers: workers})
				if err != nil {
					t.Fatal(err)
				}
				results[r] = true
			}
		}
		if len(results) != 1 {
			t.Errorf("%s: %d layers of one tree", codec, len(results))
		}
	}
}

// TestAFullDiskIsTold writes to a file system that has no room for the blob.
func TestAFullDiskIsTold(t *testing.T) {
	treetest.NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		treetest.Skip(t, "no tmpfs can be mounted: "+err.Error())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	opts := media(t)
	for _, codec := range codecs {
		f, err := os.Create(filepath.Join(dir, "blob"))
		if err != nil {
			t.Fatal(err)
		}
		err = fault{changes: diff.Upper(context.Background(), opts), w: f}.happen(t, codec)
		if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
			t.Error(err)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %v, want %v", codec, err, unix.ENOSPC)
		}
	}
}
