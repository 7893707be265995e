package compress

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseReadsWhatStringWrites(t *testing.T) {
	for in, want := range map[string]string{
		"none":    "none",
		"gzip":    "gzip:5",
		"gzip:1":  "gzip:1",
		"gzip:9":  "gzip:9",
		"zstd":    "zstd:3",
		"zstd:22": "zstd:22",
	} {
		c, err := Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		again, err := Parse(c.String())
		if diff := cmp.Diff(c, again); diff != "" || err != nil || c.String() != want {
			t.Errorf("Parse(%q) is %s, want %s; parsed again (-first +second):\n%s%v", in, c, want, diff, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":           "no name",
		":3":         "no name",
		"lz4":        "unknown",
		"GZIP":       "unknown",
		"none:1":     "no levels",
		"gzip:":      "not a number above 0",
		"gzip:0":     "not a number above 0",
		"gzip:x":     "not a number above 0",
		"gzip:1:2":   "not a number above 0",
		"gzip:10":    "not within 1 to 9",
		"zstd:-1":    "not within 1 to 22",
		"zstd:23":    "not within 1 to 22",
		"zstd:1e400": "not a number above 0",
	} {
		c, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", in, c, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"none", "gzip:6", "zstd:22", "zstd:", ":", "gzip:+6", "gzip:06"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(c.String())
		if err != nil || again != c {
			t.Fatalf("Parse(%q) = %+v, again %+v, %v", s, c, again, err)
		}
		if _, err := c.NewWriter(io.Discard, 1); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
	})
}

func TestZeroCompressionIsGzipAtItsDefault(t *testing.T) {
	var zero Compression
	full := Compression{Name: Gzip, Level: gzipLevel}
	if zero.String() != full.String() || zero.ID() != full.ID() || zero.MediaType() != full.MediaType() {
		t.Errorf("zero value is %s %s %s, want %s %s %s",
			zero, zero.ID(), zero.MediaType(), full, full.ID(), full.MediaType())
	}
}

// input is as long as several blocks and jobs of every codec, and compresses in parts.
func input(size int) []byte {
	p := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	for at := 0; at < size; at += 8 << 10 {
		rng.Read(p[at:min(at+2<<10, size)]) //nolint:errcheck // never fails
	}
	return p
}

func compressed(t *testing.T, c Compression, in []byte, workers, piece int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := c.NewWriter(&out, workers)
	if err != nil {
		t.Fatal(err)
	}
	for rest := in; len(rest) > 0; {
		n := min(piece, len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decompressed(t *testing.T, c Compression, blob []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(blob)
	switch c.Name {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case Zstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBytesDependOnInputAlone(t *testing.T) {
	in := input(20 << 20)
	for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Zstd}, {Name: Zstd, Level: 1}} {
		t.Run(c.String(), func(t *testing.T) {
			want := compressed(t, c, in, 1, len(in))
			for _, workers := range []int{0, 2, 4, 32} {
				if got := compressed(t, c, in, workers, 100_003); !bytes.Equal(got, want) {
					t.Errorf("%d workers make other bytes than one", workers)
				}
			}
			if !bytes.Equal(decompressed(t, c, want), in) {
				t.Error("other bytes come back")
			}
		})
	}
}

// TestEncodersKeepTheirBytes fails when an update of a module changes what an encoder writes. Then its revision in
// lookup has to grow, so that records of earlier bytes are not found.
func TestEncodersKeepTheirBytes(t *testing.T) {
	in := input(9 << 20)
	for name, want := range map[string]string{
		"gzip:1":  "11c8d6f81c076098",
		"gzip:6":  "1c610da42a6e3e4f",
		"gzip:9":  "cef8d288428eedfc",
		"zstd:1":  "4cfa3ec275ebf7e1",
		"zstd:3":  "39887eab6c3fab0b",
		"zstd:7":  "967b0ea35bb55aab",
		"zstd:22": "b63fecc9dcfa0ca9",
	} {
		c, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(compressed(t, c, in, 2, len(in)))
		if got := hex.EncodeToString(sum[:8]); got != want {
			t.Errorf("%s starts with digest %s, want %s", name, got, want)
		}
	}
}

func TestEmptyInputIsAValidBlob(t *testing.T) {
	for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Zstd}} {
		blob := compressed(t, c, nil, 1, 1)
		if out := decompressed(t, c, blob); len(out) > 0 {
			t.Errorf("%s: %d bytes come back", c, len(out))
		}
	}
}

func TestGzipHeaderSaysNothingOfTheMachine(t *testing.T) {
	got := compressed(t, Compression{Name: Gzip}, []byte("x"), 1, 1)[:10]
	want := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
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

func TestCloseTellsTheWritersErrorAndEndsAllGoroutines(t *testing.T) {
	in := input(20 << 20)
	for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Zstd}} {
		for _, limit := range []int{0, 5, 1 << 20} {
			w, err := c.NewWriter(&limited{limit}, 4)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(in)
			if err = errors.Join(err, w.Close()); !errors.Is(err, errFull) {
				t.Errorf("%s into a writer of %d bytes: %v, want %v", c, limit, err, errFull)
			}
		}
	}
}

func TestCloseWithoutWritesEndsAllGoroutines(t *testing.T) {
	for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Zstd}} {
		w, err := c.NewWriter(io.Discard, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestIDNamesCodecAndLevel(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range []string{"none", "gzip:1", "gzip:6", "zstd:1", "zstd:3"} {
		c, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if id := c.ID(); !strings.HasPrefix(id, s) || seen[id] {
			t.Errorf("ID of %s is %q", s, id)
		}
		seen[c.ID()] = true
	}
}

func ExampleParse() {
	c, err := Parse("zstd:7")
	if err != nil {
		panic(err)
	}
	fmt.Println(c, c.MediaType())
	// Output: zstd:7 application/vnd.oci.image.layer.v1.tar+zstd
}
