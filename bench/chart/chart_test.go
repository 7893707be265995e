package chart

import (
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/vg"

	"github.com/lbuild/lbuild/bench"
)

// made is a report with two inputs, one of them with several numbers of workers.
func made() *bench.Report {
	result := func(input, codec string, workers int, ratio, speed float64) bench.Result {
		return bench.Result{Input: input, Codec: codec, Workers: workers, Parallel: strings.HasPrefix(codec, "lbuild/"), Ratio: ratio, Speed: speed}
	}
	return &bench.Report{
		Inputs: []bench.InputInfo{{Name: "/usr/lib", Size: 5e6}, {Name: "docker.io/app:1@x", Size: 1e6}},
		Results: []bench.Result{
			result("/usr/lib", "none", 1, 1, 1500),
			result("/usr/lib", "std/gzip:6", 1, 0.40, 50),
			result("/usr/lib", "lbuild/gzip:1", 1, 0.45, 300),
			result("/usr/lib", "lbuild/gzip:1", 4, 0.45, 1000),
			result("/usr/lib", "lbuild/gzip:5", 1, 0.41, 170),
			result("/usr/lib", "lbuild/gzip:5", 4, 0.41, 600),
			result("/usr/lib", "mine", 1, 0.5, 20),
			result("docker.io/app:1@x", "std/gzip:6", 1, 1.0001, 40),
		},
	}
}

func TestChartsAreWrittenAsSVGAndPNG(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	files, err := Write(dir, made())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimPrefix(file, dir+"/"))
	}
	want := []string{
		"usr-lib-speed-size.svg", "usr-lib-speed-size.png", "usr-lib-speed-workers.svg", "usr-lib-speed-workers.png",
		"docker.io-app-1-x-speed-size.svg", "docker.io-app-1-x-speed-size.png",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".png") {
			isPNG(t, file)
		}
	}
}

func TestInputsWhoseNamesAreAlikeHaveFilesOfTheirOwn(t *testing.T) {
	names := []string{"/srv/app", "srv/app", "srv:app", "/", "srv-app-2", "a<b>&\"c"}
	r := &bench.Report{}
	for _, name := range names {
		r.Inputs = append(r.Inputs, bench.InputInfo{Name: name, Size: 1})
		r.Results = append(r.Results, bench.Result{Input: name, Codec: "std/gzip:6", Workers: 1, Ratio: 1, Speed: 10})
	}
	files, err := Write(t.TempDir(), r)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if title := name + ", 0.0 MB: speed (logarithmic) against size, up to 1 worker"; !textsOf(t, files[2*i])[title] {
			t.Errorf("%s is not the chart of %s", files[2*i], name)
		}
	}
}

func TestNothingIsDrawnOfAReportOfCopies(t *testing.T) {
	r := &bench.Report{
		Inputs:  []bench.InputInfo{{Name: "x", Size: 1}},
		Results: []bench.Result{{Input: "x", Codec: bench.None, Workers: 1, Ratio: 1, Speed: 10}},
	}
	if files, err := Write(t.TempDir(), r); len(files) > 0 || err != nil {
		t.Errorf("files %v, error %v; want none", files, err)
	}
}

func TestWorkersAreDrawnOnlyWhereACodecHasSeveral(t *testing.T) {
	result := func(codec string, workers int) bench.Result {
		return bench.Result{Input: "x", Codec: codec, Workers: workers, Parallel: codec != "std/gzip:6", Ratio: 0.4, Speed: 10}
	}
	for _, c := range []struct {
		name    string
		results []bench.Result
		want    bool
	}{
		{"one number, and a codec of one thread", []bench.Result{result("std/gzip:6", 1), result("pgzip:6", 4)}, false},
		{"a number each", []bench.Result{result("pgzip:6", 1), result("pgzip:5", 4)}, false},
		{"two numbers", []bench.Result{result("std/gzip:6", 1), result("pgzip:6", 2), result("pgzip:6", 4)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := workersDiffer(c.results); got != c.want {
				t.Errorf("drawn: %v, want %v", got, c.want)
			}
		})
	}
}

func TestLinesGoFromFewWorkersToMany(t *testing.T) {
	f := workersChart("x", []bench.Result{
		{Codec: "pgzip:6", Workers: 2, Speed: 20}, {Codec: "pgzip:6", Workers: 4, Speed: 40}, {Codec: "pgzip:6", Workers: 1, Speed: 10},
	})
	want := []point{{x: 1, y: 10}, {x: 2, y: 20}, {x: 4, y: 40}}
	if diff := cmp.Diff(want, f.series[0].points, cmp.AllowUnexported(point{})); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
}

func isPNG(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if size := picture.Bounds().Size(); size.X < 1000 || size.Y < 500 {
		t.Errorf("%s is %v", path, size)
	}
}

func TestChartsSayWhatTheyShow(t *testing.T) {
	files, err := Write(t.TempDir(), made())
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		files[0]: {
			"/usr/lib, 5.0 MB: speed (logarithmic) against size, up to 4 workers", "compressed size in % of the input; the labels are levels",
			"MB/s of the input", "std/gzip", "lbuild/gzip", "mine", "1", "5", "6", "100", "1000",
		},
		files[2]: {"workers", "std/gzip:6", "lbuild/gzip:1", "lbuild/gzip:5", "mine", "1", "4"},
	} {
		texts := textsOf(t, file)
		for _, text := range want {
			if !texts[text] {
				t.Errorf("%s does not say %q, but %v", filepath.Base(file), text, texts)
			}
		}
		if texts["none"] {
			t.Errorf("%s has none", filepath.Base(file))
		}
	}
}

// textsOf are the texts of an SVG.
func textsOf(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	texts := map[string]bool{}
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if text, ok := token.(xml.CharData); ok {
			texts[strings.TrimSpace(string(text))] = true
		}
	}
}

func TestLabelsKeepClearOfEachOther(t *testing.T) {
	within := vg.Rectangle{Max: vg.Point{X: 100, Y: 100}}
	at, size := vg.Point{X: 50, Y: 50}, vg.Point{X: 8, Y: 8}
	taken := []vg.Rectangle{around(at, 2*glyphRadius, 2*glyphRadius)}
	placed := 0
	for {
		box, free := place(at, size, taken, within)
		if !free {
			break
		}
		if overlapsAny(box, taken) || !inside(box, within) {
			t.Fatalf("%v is over another or outside", box)
		}
		taken = append(taken, box)
		placed++
	}
	if placed < 4 {
		t.Errorf("%d labels found a place around a point, want 4 at least", placed)
	}
}

func TestAxesHaveTicksOnWholeFigures(t *testing.T) {
	var got []string
	for _, tick := range decades(7, 600) {
		got = append(got, tick.Label)
	}
	if diff := cmp.Diff([]string{"10", "20", "50", "100", "200", "500"}, got); diff != "" {
		t.Errorf("ticks (-want +got):\n%s", diff)
	}
}
