package bench

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestSpreadHasTheMiddleAndTheEnds(t *testing.T) {
	for _, c := range []struct {
		name    string
		figures []float64
		want    Spread
		width   float64
	}{
		{"nothing", nil, Spread{}, 0},
		{"one", []float64{2}, Spread{2, 2, 2}, 0},
		{"odd", []float64{9, 1, 4}, Spread{4, 1, 9}, 2},
		{"even is between the two in the middle", []float64{8, 1, 2, 4}, Spread{3, 1, 8}, 7. / 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := spreadOf(c.figures)
			if diff := cmp.Diff(c.want, got); diff != "" || math.Abs(got.Width()-c.width) > 1e-9 {
				t.Errorf("width %v, want %v (-want +got):\n%s", got.Width(), c.width, diff)
			}
		})
	}
}

// made is a report of figures that can be checked by hand: 100 MB, compressed in whole seconds.
func made() *Report {
	candidates := []struct {
		codec   string
		workers int
		size    int64
		seconds float64
		cpu     float64
	}{
		{None, 1, 100e6, 0.1, 0.1},
		{"std/gzip:6", 1, 40e6, 2, 2},
		{"lbuild/gzip:1", 1, 44e6, 0.5, 0.5},
		{"lbuild/gzip:5", 1, 41_600_000, 1, 1},
		{"lbuild/gzip:5", 2, 41_600_000, 0.6, 1.1},
		{"lbuild/zstd:3", 2, 36e6, 0.8, 1.4},
		{"program/zstd:19", 2, 30e6, 20, 40},
		{"program/igzip:1", 2, 45e6, 0.2, 0.3},
	}
	r := &Report{
		Time: time.Unix(1_700_000_000, 0).UTC(), Lbuild: "v1", Runs: 3, Baseline: "std/gzip:6", Missing: []string{Pigz},
		Machine: Machine{CPU: "a machine", Cores: 2, Memory: 4e9, System: "linux 6 amd64", Go: "go1"},
		Inputs:  []InputInfo{{Name: "mixed", Corpus: true, Seed: 7, Size: 100e6, Digest: "sha256:in"}},
	}
	for _, c := range candidates {
		result := Result{Input: "mixed", Codec: c.codec, Workers: c.workers, Parallel: c.codec != None && c.codec != "std/gzip:6"}
		for _, factor := range []float64{1, 0.9, 1.5} {
			cost := Cost{Wall: c.seconds * factor, CPU: c.cpu * factor, Memory: int64(10e6 * factor)}
			result.Samples = append(result.Samples, Sample{Cost: cost, Size: c.size, Digest: "sha256:out", Decompress: Cost{Wall: 0.25 * factor}})
		}
		r.Results = append(r.Results, result)
	}
	r.summarize()
	return r
}

func TestReportComparesWithTheBaseline(t *testing.T) {
	r := made().Results[4]
	got := []float64{
		r.Wall.Median, r.Wall.Width(), r.CPU.Median, r.Speed, r.DecompressSpeed, float64(r.Memory), r.Ratio, r.SizeRatio, r.SpeedRatio, r.CPURatio,
	}
	want := []float64{0.6, 0.6, 1.1, 100 / 0.6, 400, 15e6, 0.416, 1.04, 2 / 0.6, 0.55}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-9*want[i] {
			t.Errorf("figure %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestBytesThatDifferBetweenRunsAreTold(t *testing.T) {
	r := made()
	r.Results[1].Samples[2].Digest = "sha256:other"
	r.summarize()
	if r.Results[1].SameBytes || !r.Results[2].SameBytes {
		t.Errorf("same bytes: %v and %v, want false and true", r.Results[1].SameBytes, r.Results[2].SameBytes)
	}
}

func TestTableIsAsBefore(t *testing.T) {
	var got bytes.Buffer
	if err := made().WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "table.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestTableWarnsOfABusyMachine(t *testing.T) {
	r := made()
	if text := r.busy(); text != "" {
		t.Errorf("a quiet machine: %s", text)
	}
	for i := range r.Results[1].Samples {
		r.Results[1].Samples[i].Wall *= 2
	}
	r.summarize()
	if text := r.busy(); text == "" {
		t.Error("half of a core is no reason for a warning")
	}
}

func TestJSONHoldsTheWholeReport(t *testing.T) {
	var b bytes.Buffer
	want := made()
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
}

func TestCSVHasALineForEachRun(t *testing.T) {
	var b bytes.Buffer
	if err := made().WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 8*3; len(rows) != want {
		t.Fatalf("%d lines, want %d", len(rows), want)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[3*4+3][i] // the last run of the fifth result
	}
	want := map[string]string{
		"input": "mixed", "seed": "7", "input_bytes": "100000000", "input_digest": "sha256:in",
		"codec": "lbuild/gzip:5", "workers": "2", "codec_version": "",
		"run": "3", "size_bytes": "41600000", "digest": "sha256:out",
		"wall_seconds": "0.900000", "cpu_seconds": "1.650000", "peak_memory_bytes": "15000000",
		"decompress_wall_seconds": "0.375000", "decompress_cpu_seconds": "0.000000", "decompress_peak_memory_bytes": "0",
		"time": "2023-11-14T22:13:20Z", "machine_cpu": "a machine", "cores": "2", "machine_memory_bytes": "4000000000",
		"system": "linux 6 amd64", "go": "go1", "lbuild": "v1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

func TestRecommendationsFollowFromTheFigures(t *testing.T) {
	r := made()
	link := func(text string) []Choice {
		l, err := ParseLink(text)
		if err != nil {
			t.Fatal(err)
		}
		return r.RecommendLink(l)
	}
	for _, c := range []struct {
		name    string
		choices []Choice
		want    string
	}{
		{
			"the smallest may take long", r.Recommend(Smallest),
			"mixed, smallest: program/zstd:19@2 (30.0% of the input at 5 MB/s)\n    in builds: --compression zstd:3 (36.0% of the input at 125 MB/s)",
		},
		{
			"the fastest compresses", r.Recommend(Fastest),
			"mixed, fastest: program/igzip:1@2 (45.0% of the input at 500 MB/s)\n    in builds: --compression gzip:1 (44.0% of the input at 200 MB/s)",
		},
		{
			"balanced is 4 % larger at most", r.Recommend(Balanced),
			"mixed, balanced: lbuild/gzip:5@2 (41.6% of the input at 167 MB/s), in builds --compression gzip:5",
		},
		{
			"a slow network wants the smallest", link("10mbit"),
			"mixed, link of 10mbit: program/zstd:19@2 (there after 24.00 s: 20.00 s to compress, 24.00 s to send)\n    in builds: --compression zstd:3 (there after 28.80 s: 0.80 s to compress, 28.80 s to send)",
		},
		{
			"a medium one what is done when it is sent", link("100mbit"),
			"mixed, link of 100mbit: lbuild/zstd:3@2 (there after 2.88 s: 0.80 s to compress, 2.88 s to send), in builds --compression zstd:3",
		},
		{
			"a fast one wants no compression", link("10gbit"),
			"mixed, link of 10gbit: none (there after 0.10 s: 0.10 s to compress, 0.08 s to send), in builds --compression none",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.choices) != 1 {
				t.Fatalf("%d choices, want 1", len(c.choices))
			}
			if diff := cmp.Diff(c.want, c.choices[0].String()); diff != "" {
				t.Errorf("choice (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLinksAreReadWithTheirUnit(t *testing.T) {
	for text, want := range map[string]Link{"100mbit": 100e6, "1gbit": 1e9, "2.5Gbit": 2.5e9, "56kbit": 56e3} {
		got, err := ParseLink(text)
		if err != nil || got != want {
			t.Errorf("ParseLink(%q) = %v, %v, want %v", text, float64(got), err, float64(want))
		}
		if again, err := ParseLink(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %v, %v", text, got, float64(again), err)
		}
	}
	for _, text := range []string{"", "100", "mbit", "0mbit", "-1mbit", "1mb", "infmbit", "nanmbit", "1 tbit"} {
		if l, err := ParseLink(text); err == nil {
			t.Errorf("ParseLink(%q) = %v", text, float64(l))
		}
	}
}

func TestGoalsAreReadByName(t *testing.T) {
	for _, g := range Goals() {
		if got, err := ParseGoal(string(g)); err != nil || got != g {
			t.Errorf("ParseGoal(%q) = %q, %v", g, got, err)
		}
	}
	if g, err := ParseGoal("cheapest"); err == nil {
		t.Errorf("cheapest is %q", g)
	}
}
