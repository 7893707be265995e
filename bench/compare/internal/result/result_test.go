package result

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		if got := Median(c.values); got != c.want {
			t.Errorf("Median(%v) is %v, want %v", c.values, got, c.want)
		}
	}
}

// drifting is a machine that gets slower from round to round: medians of all would tell nothing.
var drifting = Set{
	Workload: "w", Taken: time.Unix(1_700_000_000, 0).UTC(), Contenders: []string{"a", "b"},
	Runs: []Run{
		{Contender: "a", Round: 1, Wall: 1, CPU: 1, Size: 7},
		{Contender: "b", Round: 1, Wall: 2, CPU: 3, Size: 8, Layers: 1},
		{Contender: "b", Round: 2, Wall: 20, CPU: 3, Size: 8, Layers: 1},
		{Contender: "a", Round: 2, Wall: 10, CPU: 1, Size: 7},
		{Contender: "b", Round: 3, Wall: 200, CPU: 3, Size: 8, Layers: 1},
	},
}

func TestRatioComparesWithinARound(t *testing.T) {
	for _, c := range []struct {
		of, to string
		figure func(Run) float64
		want   float64
	}{
		{"b", "a", Wall, 2},
		{"a", "b", Wall, 0.5},
		{"b", "a", CPU, 3},
		{"b", "nobody", CPU, 0},
	} {
		if got := drifting.Ratio(c.of, c.to, c.figure); got != c.want {
			t.Errorf("%s ÷ %s is %v, want %v", c.of, c.to, got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	want := Summary{Contender: "b", Runs: 3, Wall: 20, CPU: 3, Fastest: 2, Slowest: 200, Size: 8, Layers: 1}
	if d := cmp.Diff(want, drifting.Summary("b")); d != "" {
		t.Error(d)
	}
	if got := drifting.Summary("nobody"); got.Runs != 0 {
		t.Errorf("nobody has %d runs", got.Runs)
	}
}

func TestLoadGivesWhatWasSaved(t *testing.T) {
	dir := t.TempDir()
	if err := drifting.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]Set{"w": drifting}, got); d != "" {
		t.Error(d)
	}
	if err := os.Rename(filepath.Join(dir, "w.json"), filepath.Join(dir, "x.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a file that says another workload than its name is taken")
	}
}
