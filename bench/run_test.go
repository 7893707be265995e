package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/lbuild/lbuild/bench/corpus"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

func tiny(t testing.TB) Input {
	t.Helper()
	in, err := Corpus(corpus.Spec{Name: corpus.Text, Seed: 1, Size: 300_000})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// copies is a codec of a test, which does what its functions say, else copies.
func copies(name string, change func(*Custom)) Codec {
	c := Codec{Name: name, Custom: &Custom{NewWriter: newCopy, NewReader: newPlain}}
	if change != nil {
		change(c.Custom)
	}
	return c
}

// libraries are all codecs that need no program.
func libraries(t testing.TB) []Codec {
	t.Helper()
	var codecs []Codec
	for _, name := range Names() {
		if !strings.HasPrefix(name, "program/") {
			codecs = append(codecs, Codec{Name: name})
		}
	}
	return codecs
}

func TestRunMeasuresEveryCandidate(t *testing.T) {
	defer goleak.VerifyNone(t)
	report, err := Run(context.Background(), Options{Inputs: []Input{tiny(t)}, Codecs: libraries(t), Workers: []int{2, 1, 2}, Runs: 2, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, r := range report.Results {
		labels = append(labels, r.Label())
		if len(r.Samples) != 2 || r.Size <= 0 || r.Speed <= 0 || r.DecompressSpeed <= 0 || !r.SameBytes {
			t.Errorf("%s: %+v", r.Label(), r)
		}
		if r.Codec != None && r.Ratio > 0.5 {
			t.Errorf("%s leaves %.0f%% of a text", r.Label(), 100*r.Ratio)
		}
	}
	own := compress.Compression{}
	want := []string{
		"none", "std/gzip:6", "klauspost/gzip:5", "klauspost/zstd:3@1", "klauspost/zstd:3@2", "pgzip:6@1", "pgzip:6@2",
		"lbuild/" + own.String() + "@1", "lbuild/" + own.String() + "@2", "lbuild/zstd:3@1", "lbuild/zstd:3@2",
	}
	if diff := cmp.Diff(want, labels); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
	if report.Baseline != "std/gzip:6" {
		t.Errorf("baseline is %s", report.Baseline)
	}
}

func TestRunTakesTheCandidatesInTurn(t *testing.T) {
	var got []string
	_, err := Run(context.Background(), Options{
		Inputs: []Input{tiny(t)}, Codecs: []Codec{{Name: None}, copies("own", nil)}, Baseline: "own", Runs: 2, Dir: t.TempDir(),
		Progress: func(p Progress) {
			got = append(got, fmt.Sprintf("%d/%d %s %s %d", p.Done, p.Total, p.Input, p.Codec, p.Run))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0/4 text  0", "0/4 text none 1", "1/4 text own 1", "2/4 text none 2", "3/4 text own 2", "4/4   0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

// liar gives back other bytes than it was given.
type liar struct{ io.Reader }

func (l liar) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		p[n-1]++
	}
	return n, err
}

func (liar) Close() error { return nil }

func TestWrongBytesAreDetected(t *testing.T) {
	for name, read := range map[string]func(io.Reader) (io.ReadCloser, error){
		"others": func(r io.Reader) (io.ReadCloser, error) { return liar{r}, nil },
		"fewer":  func(r io.Reader) (io.ReadCloser, error) { return newPlain(io.LimitReader(r, 100)) },
		"none":   func(io.Reader) (io.ReadCloser, error) { return newPlain(strings.NewReader("")) },
	} {
		t.Run(name, func(t *testing.T) {
			broken := copies("broken", func(c *Custom) { c.NewReader = read })
			_, err := Run(context.Background(), Options{Inputs: []Input{tiny(t)}, Codecs: []Codec{broken}, Baseline: None, Dir: t.TempDir()})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "broken") {
				t.Errorf("error is %v, want %v of broken", err, ErrCorrupt)
			}
		})
	}
}

func TestFailuresNameTheCandidate(t *testing.T) {
	cause := errors.New("no more room")
	for name, change := range map[string]func(*Custom){
		"writer": func(c *Custom) {
			c.NewWriter = func(io.Writer, int, int) (io.WriteCloser, error) { return nil, cause }
		},
		"reader": func(c *Custom) { c.NewReader = func(io.Reader) (io.ReadCloser, error) { return nil, cause } },
	} {
		t.Run(name, func(t *testing.T) {
			opts := Options{Inputs: []Input{tiny(t)}, Codecs: []Codec{copies("failing", change)}, Baseline: None, Dir: t.TempDir()}
			if _, err := Run(context.Background(), opts); !errors.Is(err, cause) || !strings.Contains(err.Error(), "text: failing") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestFailuresLeaveWhatWasMeasured fails late: in the third input, or in the second of its runs.
func TestFailuresLeaveWhatWasMeasured(t *testing.T) {
	cause := errors.New("no more room")
	full := Input{Name: "full", Write: func(context.Context, io.Writer) error { return cause }}
	failsAfter := func(passes int) Codec {
		return copies("failing", func(c *Custom) {
			c.NewWriter = func(w io.Writer, _, _ int) (io.WriteCloser, error) {
				if passes--; passes < 0 {
					return nil, cause
				}
				return newCopy(w, 0, 0)
			}
		})
	}
	other := tiny(t)
	other.Name = "other"
	for _, c := range []struct {
		name   string
		inputs []Input
		codec  Codec
		want   []string
	}{
		{"in an input", []Input{tiny(t), other, full}, failsAfter(99), []string{"text none 3", "text failing 3", "other none 3", "other failing 3"}},
		{"in a run", []Input{tiny(t), other}, failsAfter(4), []string{"text none 3", "text failing 3", "other none 1", "other failing 1"}},
		{"in the first run", []Input{tiny(t)}, failsAfter(0), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, err := Run(context.Background(), Options{Inputs: c.inputs, Codecs: []Codec{{Name: None}, c.codec}, Baseline: None, Dir: t.TempDir()})
			if !errors.Is(err, cause) {
				t.Errorf("error is %v, want %v", err, cause)
			}
			if (report == nil) != (c.want == nil) {
				t.Fatalf("report %v, want the results %v", report, c.want)
			}
			if report == nil {
				return
			}
			var got []string
			for _, r := range report.Results {
				got = append(got, fmt.Sprintln(r.Input, r.Codec, len(r.Samples)))
				if r.Speed <= 0 || r.SizeRatio != 1 {
					t.Errorf("%s on %s is not summed up: %+v", r.Codec, r.Input, r)
				}
			}
			if diff := cmp.Diff(strings.Join(c.want, "\n")+"\n", strings.Join(got, "")); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			var table strings.Builder
			if err := report.WriteTable(&table); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Contains(table.String(), "only 1 of 3 runs"), c.name == "in a run"; got != want {
				t.Errorf("the table says that runs are missing: %v, want %v", got, want)
			}
		})
	}
}

func TestCancelEndsLibraries(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, codec := range libraries(t) {
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		endless := Input{Name: "endless", Write: func(ctx context.Context, w io.Writer) error {
			return corpus.Spec{Size: 3_000_000}.Write(ctx, w)
		}}
		_, err := Run(ctx, Options{
			Inputs: []Input{endless}, Codecs: []Codec{codec}, Baseline: codec.Name, Dir: t.TempDir(),
			Progress: func(p Progress) {
				if p.Codec != "" {
					cancel(cause)
				}
			},
		})
		if !errors.Is(err, cause) {
			t.Errorf("%s: error is %v, want %v", codec, err, cause)
		}
	}
}

func TestCancelEndsInputsThatDoNotLook(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	deaf := Input{Name: "deaf", Write: func(_ context.Context, w io.Writer) error {
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return err
			}
			cancel(cause)
		}
	}}
	if _, err := Run(ctx, Options{Inputs: []Input{deaf}, Dir: t.TempDir()}); !errors.Is(err, cause) {
		t.Errorf("error is %v, want %v", err, cause)
	}
}

func TestBaselineIsMeasuredToo(t *testing.T) {
	for text, want := range map[string][]string{
		"":            {"none", "std/gzip:6"},
		"none":        {"none"},
		"pgzip:2":     {"none", "pgzip:2@1"},
		"pgzip:2@3":   {"none", "pgzip:2@3"},
		"std/gzip:@1": nil,
		"pgzip@0":     nil,
		"pgzip:1-2":   nil,
		"std/gzip@2":  nil,
		"unknown":     nil,
	} {
		p, err := newPlan(context.Background(), Options{Codecs: []Codec{{Name: None}}, Workers: []int{1, 2}, Baseline: text})
		if want == nil {
			if err == nil {
				t.Errorf("baseline %q was taken", text)
			}
			continue
		}
		var got []string
		if err == nil {
			for _, c := range p.candidates {
				got = append(got, c.label())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || err == nil && p.baseline.label() != want[len(want)-1] {
			t.Errorf("baseline %q: %v, candidates (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestBaselineIsTheSameWithAndWithoutItsDefaultLevel(t *testing.T) {
	for text, want := range map[string][]string{
		"pgzip":     {"pgzip:6@2", "pgzip:6@4"},
		"pgzip@4":   {"pgzip:6@2", "pgzip:6@4"},
		"pgzip@8":   {"pgzip:6@2", "pgzip:6@4", "pgzip:6@8"},
		"pgzip:6@8": {"pgzip:6@2", "pgzip:6@4", "pgzip:6@8"},
		"pgzip:6@1": {"pgzip:6@2", "pgzip:6@4", "pgzip:6@1"},
		"pgzip:2@1": {"pgzip:6@2", "pgzip:6@4", "pgzip:2@1"},
	} {
		p, err := newPlan(context.Background(), Options{Codecs: []Codec{{Name: Pgzip}}, Workers: []int{2, 4}, Baseline: text})
		if err != nil {
			t.Errorf("baseline %q: %v", text, err)
			continue
		}
		var got []string
		for _, c := range p.candidates {
			got = append(got, c.label())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("baseline %q, candidates (-want +got):\n%s", text, diff)
		}
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for name, opts := range map[string]Options{
		"no workers":     {Workers: []int{0}},
		"one name twice": {Inputs: []Input{tiny(t), tiny(t)}},
		"unknown codec":  {Codecs: []Codec{{Name: "lzma"}}},
		"level too high": {Codecs: []Codec{{Name: StdGzip, Level: 10}}},
		"empty input":    {Inputs: []Input{{Name: "empty", Write: func(context.Context, io.Writer) error { return nil }}}},
	} {
		if _, err := Run(context.Background(), opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCodecsAreReadAsTheyAreWritten(t *testing.T) {
	codecs, err := ParseCodecs("none,std/gzip,pgzip:1-3,program/zstd:19")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range codecs {
		got = append(got, c.String())
	}
	want := []string{"none", "std/gzip:6", "pgzip:1", "pgzip:2", "pgzip:3", "program/zstd:19"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codecs (-want +got):\n%s", diff)
	}
	for _, text := range []string{"", ",", "lzma", "none:1", "std/gzip:0", "std/gzip:10", "std/gzip:3-1", "std/gzip:1-999999999", "std/gzip:a"} {
		if codecs, err := ParseCodecs(text); err == nil {
			t.Errorf("ParseCodecs(%q) = %v", text, codecs)
		}
	}
}

func written(t *testing.T, in Input) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := in.Write(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDirectoriesAreReadAsLayers(t *testing.T) {
	dir := t.TempDir()
	if _, err := (Tree{Files: 20, Max: 5000}).Write(dir); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	changes := diff.Upper(context.Background(), diff.UpperOptions{Upper: dir})
	_, err := layer.Write(context.Background(), &want, changes, layer.Options{Compression: compress.Compression{Name: compress.None}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written(t, Directory(dir)), want.Bytes()) {
		t.Error("the bytes are not those of its layer")
	}
}

func TestFilesAreDecompressedFirst(t *testing.T) {
	plain := written(t, tiny(t))
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := w.Write(plain)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := encoder.EncodeAll(plain, nil)
	skipped := []byte{0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	for name, data := range map[string][]byte{
		"a.tar": plain, "a.tar.gz": zipped.Bytes(), "a.tar.zst": frame, "skipped.tar.zst": slices.Concat(skipped, frame),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(written(t, File(path)), plain) {
			t.Errorf("%s gives other bytes", name)
		}
	}
}

func ExampleRun() {
	small, err := Corpus(corpus.Spec{Name: corpus.Sparse, Size: 1_000_000})
	if err != nil {
		panic(err)
	}
	report, err := Run(context.Background(), Options{Inputs: []Input{small}, Codecs: []Codec{{Name: LbuildZstd}}, Runs: 1})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Recommend(Smallest)[0].Own.Codec)
	// Output: lbuild/zstd:3
}
