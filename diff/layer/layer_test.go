package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(packEnv); dir != "" {
		if err := packOnly(dir); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// upperOf makes a tree and returns the options that walk all of it.
func upperOf(t *testing.T, tree string) diff.UpperOptions {
	t.Helper()
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, tree)
	return opts
}

func TestWriteDescribesWhatItWrote(t *testing.T) {
	opts := upperOf(t, "d/\nd/big size=3000000\nd/f \"x\"\nl -> f")
	want := pack(t, opts, 1)
	for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
		var blob bytes.Buffer
		ctx := context.Background()
		c := compress.Compression{Name: codec}
		got, err := layer.Write(ctx, &blob, diff.Upper(ctx, opts), layer.Options{Compression: c})
		if err != nil {
			t.Fatal(err)
		}
		expected := layer.Result{
			MediaType: c.MediaType(), Entries: 5,
			Digest: digest.FromBytes(blob.Bytes()), Size: int64(blob.Len()),
			DiffID: digest.FromBytes(want), UncompressedSize: int64(len(want)),
		}
		if d := cmp.Diff(expected, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", codec, d)
		}
	}
}

func TestWriteIsTheSameForAnyNumberOfWorkers(t *testing.T) {
	opts := upperOf(t, "a size=9000000\nb size=5000000\nc \"x\"")
	for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
		sums := map[[32]byte]bool{}
		for _, workers := range []int{0, 1, 2, 4} {
			var blob bytes.Buffer
			ctx := context.Background()
			_, err := layer.Write(ctx, &blob, diff.Upper(ctx, opts),
				layer.Options{Compression: compress.Compression{Name: codec}, Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			sums[sha256.Sum256(blob.Bytes())] = true
		}
		if len(sums) != 1 {
			t.Errorf("%s makes %d blobs of one tree", codec, len(sums))
		}
	}
}

func TestWriteOfNoChangesIsAnEmptyTar(t *testing.T) {
	var blob bytes.Buffer
	none := func(func(diff.Change, error) bool) {}
	got, err := layer.Write(context.Background(), &blob, none, layer.Options{})
	if err != nil || got.Entries != 0 || got.UncompressedSize != 1024 {
		t.Fatalf("result is %+v, %v", got, err)
	}
	z, err := gzip.NewReader(&blob)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tar.NewReader(z).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("first entry: %v", err)
	}
}

// headers returns those of a tar.
func headers(t *testing.T, b []byte) []*tar.Header {
	t.Helper()
	var all []*tar.Header
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, hdr)
	}
}

func TestHeadersAreTheSmallestThatHoldTheEntry(t *testing.T) {
	long := strings.Repeat("n", 101)
	for _, c := range []struct {
		name string
		diff.Change
		want tar.Format
	}{
		{"plain", diff.Change{Path: "f"}, tar.FormatUSTAR},
		{"directory", diff.Change{Path: "d", Mode: fs.ModeDir | 0o755}, tar.FormatUSTAR},
		{"fraction of a second", diff.Change{Path: "f", ModTime: time.Unix(1, 999)}, tar.FormatUSTAR},
		{"100 bytes", diff.Change{Path: long[:100]}, tar.FormatUSTAR},
		{"101 bytes in two", diff.Change{Path: "d/" + long[:99]}, tar.FormatUSTAR},
		{"101 bytes", diff.Change{Path: long}, tar.FormatPAX},
		{"not ASCII", diff.Change{Path: "ü"}, tar.FormatPAX},
		{"largest owner", diff.Change{Path: "f", UID: 1<<21 - 1, GID: 1<<21 - 1}, tar.FormatUSTAR},
		{"larger owner", diff.Change{Path: "f", UID: 1 << 21}, tar.FormatPAX},
		{"latest time", diff.Change{Path: "f", ModTime: time.Unix(1<<33-1, 0)}, tar.FormatUSTAR},
		{"later time", diff.Change{Path: "f", ModTime: time.Unix(1<<33, 0)}, tar.FormatPAX},
		{"before 1970", diff.Change{Path: "f", ModTime: time.Unix(-1, 0)}, tar.FormatPAX},
		{"attribute", diff.Change{Path: "f", Xattrs: []diff.Xattr{{Name: "user.k", Value: "v"}}}, tar.FormatPAX},
		{"device", diff.Change{Path: "f", Mode: fs.ModeDevice, Major: 4095, Minor: 1<<20 - 1}, tar.FormatUSTAR},
	} {
		if c.ModTime.IsZero() {
			c.ModTime = time.Unix(1, 0)
		}
		if c.Mode.IsRegular() {
			c.Hardlink = "other" // a change without content of its own
		}
		got := headers(t, packed(t, one(c.Change), layer.Options{}))
		if len(got) != 1 || got[0].Format != c.want {
			t.Errorf("%s: %d headers, format %v, want %v", c.name, len(got), got[0].Format, c.want)
		}
	}
}

func TestHeadersHoldNothingOfTheMachine(t *testing.T) {
	for _, hdr := range headers(t, pack(t, upperOf(t, "d/\nd/f \"x\"\nl -> f\nüü"), 1)) {
		if hdr.Uname+hdr.Gname != "" || !hdr.AccessTime.IsZero() || !hdr.ChangeTime.IsZero() || hdr.Devmajor+hdr.Devminor != 0 {
			t.Errorf("header of %q is %+v", hdr.Name, hdr)
		}
	}
}

func TestEpochIsTheLatestTime(t *testing.T) {
	epoch := time.Unix(100, 999)
	tree := upperOf(t, "after mtime=200\nbefore mtime=50\nd/ mtime=101")
	ctx := context.Background()
	want := map[string]int64{"./": 100, "after": 100, "before": 50, "d/": 100}
	got := map[string]int64{}
	for _, hdr := range headers(t, packed(t, diff.Upper(ctx, tree), layer.Options{Epoch: &epoch})) {
		got[hdr.Name] = hdr.ModTime.Unix()
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("times (-want +got):\n%s", d)
	}
}

// one is a sequence of one change.
func one(c diff.Change) iter.Seq2[diff.Change, error] {
	return func(yield func(diff.Change, error) bool) { yield(c, nil) }
}

func packed(t *testing.T, changes iter.Seq2[diff.Change, error], opts layer.Options) []byte {
	t.Helper()
	var blob bytes.Buffer
	opts.Compression.Name = compress.None
	if _, err := layer.Write(context.Background(), &blob, changes, opts); err != nil {
		t.Fatal(err)
	}
	return blob.Bytes()
}

func TestWriteRefusesNamesThatMeanDeletions(t *testing.T) {
	for _, name := range []string{".wh.x", "d/.wh.x", "d/.wh..wh..opq", ".wh.", ".wh.dir/f"} {
		opts := diff.UpperOptions{Upper: t.TempDir()}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(opts.Upper, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		treetest.Make(t, opts.Upper, name)
		err := fails(t, diff.Upper(context.Background(), opts), io.Discard)
		if !errors.Is(err, layer.ErrReservedName) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := fails(t, one(diff.Change{Kind: diff.Delete, Path: "d/.wh.x"}), io.Discard)
	wantPathError(t, err, "d/.wh.x", layer.ErrReservedName)
}

// fails writes a layer that cannot be written, with each codec, and returns the last error.
func fails(t *testing.T, changes iter.Seq2[diff.Change, error], w io.Writer) error {
	t.Helper()
	var err error
	for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
		var got layer.Result
		opts := layer.Options{Compression: compress.Compression{Name: codec}, Workers: 3}
		got, err = layer.Write(context.Background(), w, changes, opts)
		if d := cmp.Diff(layer.Result{}, got); d != "" || err == nil {
			t.Errorf("%s: error %v, result (-want +got):\n%s", codec, err, d)
		}
	}
	return err
}

func wantPathError(t *testing.T, err error, path string, cause error) {
	t.Helper()
	var pathErr *diff.PathError
	if !errors.As(err, &pathErr) || pathErr.Path != path || !errors.Is(err, cause) {
		t.Errorf("error is %v, want %v at %q", err, cause, path)
	}
}

func TestWriteTellsAFileThatChangesWhileItIsRead(t *testing.T) {
	for name, meddle := range map[string]func(string) error{
		"vanishes": os.Remove,
		"grows":    func(path string) error { return os.Truncate(path, 4_000_000) },
		"shrinks":  func(path string) error { return os.Truncate(path, 1) },
		"becomes a directory": func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
				opts := upperOf(t, "a size=3000000\nd/\nd/f \"x\"")
				path := filepath.Join(opts.Upper, "d/f")
				changes := meddling(diff.Upper(context.Background(), opts), func() error { return meddle(path) })
				_, err := layer.Write(context.Background(), io.Discard, changes,
					layer.Options{Compression: compress.Compression{Name: codec}})
				wantPathError(t, err, "d/f", diff.ErrChanged)
			}
		})
	}
}

// meddling calls a function before it hands out the last change.
func meddling(changes iter.Seq2[diff.Change, error], meddle func() error) iter.Seq2[diff.Change, error] {
	return func(yield func(diff.Change, error) bool) {
		for c, err := range changes {
			if err == nil && c.Path == "d/f" {
				err = meddle()
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

func TestWritePassesTheWalksErrorOn(t *testing.T) {
	errWalk := errors.New("walk")
	err := fails(t, func(yield func(diff.Change, error) bool) { yield(diff.Change{}, errWalk) }, io.Discard)
	if !errors.Is(err, errWalk) {
		t.Errorf("error is %v", err)
	}
}

var errFull = errors.New("full")

// limited fails after so many bytes.
type limited struct{ left int }

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errFull
	}
	l.left -= len(p)
	return len(p), nil
}

func TestWriteTellsAWriterThatFails(t *testing.T) {
	opts := upperOf(t, "a size=9000000\nb \"x\"")
	for _, limit := range []int{0, 10, 1000} {
		err := fails(t, diff.Upper(context.Background(), opts), &limited{limit})
		if !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: %v", limit, err)
		}
	}
}

func TestWriteEndsWithTheContext(t *testing.T) {
	opts := upperOf(t, "a size=9000000\nb \"x\"")
	for _, codec := range []string{compress.None, compress.Gzip, compress.Zstd} {
		ctx, cancel := context.WithCancel(context.Background())
		changes := func(yield func(diff.Change, error) bool) {
			for c, err := range diff.Upper(ctx, opts) {
				if c.Path == "a" {
					cancel()
				}
				if !yield(c, err) {
					return
				}
			}
		}
		_, err := layer.Write(ctx, io.Discard, changes, layer.Options{Compression: compress.Compression{Name: codec}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", codec, err)
		}
		cancel()
	}
}

func TestWriteRefusesUnknownCompression(t *testing.T) {
	_, err := layer.Write(context.Background(), io.Discard, one(diff.Change{}),
		layer.Options{Compression: compress.Compression{Name: "lz4"}})
	if err == nil || !strings.Contains(err.Error(), "lz4") {
		t.Errorf("error is %v", err)
	}
}

func TestWriteRefusesAnAttributeNameThatATarCannotHold(t *testing.T) {
	c := diff.Change{
		Path: "d", Mode: fs.ModeDir, ModTime: time.Unix(0, 0),
		Xattrs: []diff.Xattr{{Name: "user.a=b", Value: "v"}},
	}
	var pathErr *diff.PathError
	if err := fails(t, one(c), io.Discard); !errors.As(err, &pathErr) || pathErr.Path != "d" {
		t.Errorf("error is %v", err)
	}
}
