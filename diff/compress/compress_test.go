package compress

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
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

// mixed has what an encoder treats apart, each longer than a block and at no border of one: text, zeros, noise.
func mixed() []byte {
	p := input(3 << 20)
	p = append(p, make([]byte, 3<<20+12345)...)
	noise := make([]byte, 2<<20+777)
	rand.NewChaCha8([32]byte{2}).Read(noise) //nolint:errcheck // never fails
	p = append(p, noise...)
	return append(p, input(1<<20)...)
}

func TestBytesDependOnInputAlone(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for name, in := range map[string][]byte{
		"text": input(5 << 20), "mixed": mixed(), "zeros": make([]byte, 3<<20), "short": input(100_000),
	} {
		for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Gzip, Level: 9}, {Name: Zstd}, {Name: Zstd, Level: 1}} {
			t.Run(name+" "+c.String(), func(t *testing.T) {
				want := compressed(t, c, in, 1, len(in))
				for cores, workers := range map[int][]int{1: {4}, 2: {2, 32}} {
					runtime.GOMAXPROCS(cores)
					for i, n := range workers {
						if got := compressed(t, c, in, n, 100_003+i*900_000); !bytes.Equal(got, want) {
							t.Errorf("%d workers on %d cores make other bytes than one", n, cores)
						}
					}
				}
				if !bytes.Equal(decompressed(t, c, want), in) {
					t.Error("other bytes come back")
				}
			})
		}
	}
}

// oneAtATime reads little, and never to the end of the room that it is given.
type oneAtATime struct{ r io.Reader }

func (o oneAtATime) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 7001)]) }

func TestReadFromIsAsWrite(t *testing.T) {
	in := mixed()
	for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Zstd}} {
		var out bytes.Buffer
		w, err := c.NewWriter(&out, 3)
		if err != nil {
			t.Fatal(err)
		}
		tee := sha256.New()
		w.Tee(tee)
		n, err := w.ReadFrom(oneAtATime{bytes.NewReader(in)})
		if err = errors.Join(err, w.Close()); n != int64(len(in)) || err != nil {
			t.Errorf("%s: %d of %d bytes: %v", c, n, len(in), err)
		}
		if !bytes.Equal(out.Bytes(), compressed(t, c, in, 1, len(in))) {
			t.Errorf("%s: other bytes", c)
		}
		if want := sha256.Sum256(in); !bytes.Equal(tee.Sum(nil), want[:]) {
			t.Errorf("%s: the tee had other bytes", c)
		}
	}
}

// FuzzRoundTrip makes a stream of stretches and cuts from its input: each byte says what comes and how much of it.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add([]byte{0, 255, 1, 255, 2, 255, 0, 255, 0, 255, 0, 255}, uint8(5))
	f.Add([]byte{1, 3, 0, 255, 0, 255, 2, 1, 2, 255}, uint8(9))
	f.Fuzz(func(t *testing.T, recipe []byte, level uint8) {
		in := stretches(recipe)
		for _, c := range []Compression{{Gzip, 1 + int(level)%9}, {Zstd, 1 + int(level)%9}, {Name: None}} {
			blob := compressed(t, c, in, 2, 1+len(in)/3)
			if !bytes.Equal(decompressed(t, c, blob), in) {
				t.Errorf("%s: other bytes come back", c)
			}
			if limit := len(in) + len(in)/1000 + 100; len(blob) > limit {
				t.Errorf("%s: %d bytes become %d", c, len(in), len(blob))
			}
		}
	})
}

// stretches turns pairs of a kind and a length into zeros, noise, or repeated text. It makes 3 MiB at most.
func stretches(recipe []byte) []byte {
	noise := rand.NewChaCha8([32]byte{3})
	var p []byte
	for ; len(recipe) > 1 && len(p) < 3<<20; recipe = recipe[2:] {
		part := make([]byte, int(recipe[1])*(2<<10)+int(recipe[0]))
		switch recipe[0] % 3 {
		case 1:
			noise.Read(part) //nolint:errcheck // never fails
		case 2:
			for i := range part {
				part[i] = "lorem ipsum dolor"[i*i%17]
			}
		}
		p = append(p, part...)
	}
	return p
}

// TestEncodersKeepTheirBytes fails when an update of a module changes what an encoder writes. Then its revision in
// lookup has to grow, so that records of earlier bytes are not found.
func TestEncodersKeepTheirBytes(t *testing.T) {
	in := input(9 << 20)
	for name, want := range map[string]string{
		"gzip:1":  "843b4680c271ef26",
		"gzip:6":  "1598cb9452b2501a",
		"gzip:9":  "d4e584a960c9e900",
		"zstd:1":  "e9308f225e00ba33",
		"zstd:3":  "fc68cda215338965",
		"zstd:7":  "eae16d98ec37b6d4",
		"zstd:22": "877eef6bb44592e1",
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

func TestZstdMakesAFrameOfEachBlock(t *testing.T) {
	in := input(zstdBlock + 100_000)
	for _, level := range []int{1, 3, 7, 10} {
		c := Compression{Zstd, level}
		want := slices.Concat(compressed(t, c, in[:zstdBlock], 1, zstdBlock), compressed(t, c, in[zstdBlock:], 1, 1000))
		if got := compressed(t, c, in, 4, 70_000); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want the %d of the two blocks", c, len(got), len(want))
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

func TestNothingIsTheSameBlobHoweverItIsWritten(t *testing.T) {
	for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Zstd}} {
		var out bytes.Buffer
		w, err := c.NewWriter(&out, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.ReadFrom(strings.NewReader(""))
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if want := compressed(t, c, nil, 1, 1); !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%s: %x when read, %x when nothing was written", c, out.Bytes(), want)
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
	in := input(9 << 20)
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

func TestDropEndsAllGoroutinesAndLeavesNoWholeStream(t *testing.T) {
	in := mixed()
	for _, c := range []Compression{{Name: Gzip}, {Name: Zstd}} {
		for _, size := range []int{0, 10, 2 << 20, len(in)} {
			var out bytes.Buffer
			w, err := c.NewWriter(&out, 4)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(in[:size]); err != nil {
				t.Fatal(err)
			}
			w.Drop()
			w.Drop()
			goleak.VerifyNone(t)
			if n, err := readable(c, out.Bytes()); err == nil && (c.Name == Gzip || n >= int64(size)) {
				t.Errorf("%s, %d bytes: a stream of %d has an end", c, size, n)
			}
			if _, err := w.Write(in); !errors.Is(err, errClosed) {
				t.Errorf("%s: Write after Drop: %v", c, err)
			}
		}
	}
}

// readable is how many bytes a blob has, if it can be read to its end. Frames of zstd are streams of their own.
func readable(c Compression, blob []byte) (int64, error) {
	if len(blob) == 0 {
		return 0, io.EOF
	}
	var r io.Reader
	if c.Name == Gzip {
		z, err := gzip.NewReader(bytes.NewReader(blob))
		if err != nil {
			return 0, err
		}
		r = z
	} else {
		z, err := zstd.NewReader(bytes.NewReader(blob))
		if err != nil {
			return 0, err
		}
		defer z.Close()
		r = z
	}
	return io.Copy(io.Discard, r)
}

func TestCloseTwiceIsOneClose(t *testing.T) {
	for _, c := range []Compression{{Name: None}, {Name: Gzip}, {Name: Zstd}} {
		var out bytes.Buffer
		w, err := c.NewWriter(&out, 2)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(input(2 << 20))
		err = errors.Join(err, w.Close())
		size := out.Len()
		if err = errors.Join(err, w.Close()); err != nil || out.Len() != size {
			t.Errorf("%s: %d bytes, then %d: %v", c, size, out.Len(), err)
		}
	}
}

// TestNoiseIsStored also holds for the levels that search for longer than it takes to see that there is nothing.
func TestNoiseIsStored(t *testing.T) {
	noise := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{4}).Read(noise) //nolint:errcheck // never fails
	for _, name := range []string{"gzip:1", "gzip", "gzip:9", "zstd:1", "zstd", "zstd:22"} {
		c, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if size := len(compressed(t, c, noise, 2, len(noise))); size > len(noise)+len(noise)/1000 {
			t.Errorf("%s: %d bytes of noise become %d", name, len(noise), size)
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
