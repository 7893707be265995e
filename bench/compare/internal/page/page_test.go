package page

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/bench/compare/internal/result"
)

const results = "../../../results/compare"

// TestThePageIsOfTheseResults fails when results or bars changed and nobody wrote the page anew.
func TestThePageIsOfTheseResults(t *testing.T) {
	sets, err := result.Load(results)
	if err != nil {
		t.Fatal(err)
	}
	want, err := render(newData(sets))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("make performance is due: %s", d)
	}
}

func TestEveryWorkloadHasItsPlaceOnThePage(t *testing.T) {
	sets, err := result.Load(results)
	if err != nil {
		t.Fatal(err)
	}
	d := newData(sets)
	if got := len(d.Builds) + len(d.Layers); got != len(sets) {
		t.Errorf("%d of %d workloads are on the page", got, len(sets))
	}
}

// layerSet has gzip layers of 2 s of lbuild, half a second of SHA-256, and others that take some times that.
func layerSet() result.Set {
	s := result.Set{
		Workload: "layer-large", Title: "large", Layer: true, Taken: time.Unix(1_700_000_000, 0).UTC(),
		Machine: result.Machine{Cores: 2},
	}
	for _, r := range []result.Run{
		{Contender: "lbuild gzip", Wall: 2, CPU: 3.6, Size: 100e6},
		{Contender: "lbuild zstd", Wall: 1, CPU: 1.8, Size: 90e6},
		{Contender: "lbuild none", Wall: 0.6, CPU: 0.6, Size: 200e6},
		{Contender: "containerd gzip", Wall: 8, CPU: 8, Size: 98e6},
		{Contender: "buildkit gzip", Wall: 12, CPU: 12, Size: 95e6},
		{Contender: "sha256", Wall: 0.5, CPU: 0.5},
		{Contender: "read", Wall: 0.1, CPU: 0.1},
	} {
		r.Round = 1
		s.Contenders, s.Runs = append(s.Contenders, r.Contender), append(s.Runs, r)
	}
	return s
}

func TestBarsAreMarkedByTheirLimits(t *testing.T) {
	table := layerTable([]result.Set{layerSet()})
	for _, want := range []string{
		"| gzip: wall ÷ bound | ≤ 1.15 | 1.11 ✓ |",
		"| gzip: containerd's wall ÷ lbuild's | ≥ 5 | 4.00 ✗ |",
		"| gzip: BuildKit's wall ÷ lbuild's | ≥ 5 | 6.00 ✓ |",
		"| gzip: size ÷ BuildKit's | ≤ 1.04 | 1.05 ✗ |",
		"| gzip: wall ÷ containers/storage's | ≤ 0.85 | – |",
		"| none: wall ÷ the larger of SHA-256 and reading | ≤ 1.3 | 1.20 ✓ |",
		"| none: CPU ÷ containerd's | ≤ 0.5 | |",
	} {
		if !strings.Contains(table, want+"\n") {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

func buildSet() result.Set {
	s := result.Set{
		Workload: "steps", Title: "steps", Contenders: []string{"lbuild", "buildkit", "buildah", "runc"},
		Checks: []result.Check{
			{Contender: "lbuild", Same: true},
			{Contender: "buildah", Differences: []string{"add /a", "add /b", "add /c", "add /d"}},
		},
	}
	s.Runs = []result.Run{
		{Contender: "lbuild", Wall: 3, CPU: 2, Size: 5e6, Layers: 30},
		{Contender: "buildkit", Wall: 6, CPU: 4, Size: 5e6, Layers: 30},
		{Contender: "buildah", Wall: 4, CPU: 1, Size: 4e6, Layers: 1},
		{Contender: "runc", Wall: 2.4, CPU: 1},
	}
	return s
}

func TestTheBestPeerIsTheFastestThatMadeAnImage(t *testing.T) {
	if got := overBest(buildSet()); got != 0.75 {
		t.Errorf("lbuild takes %v of the best peer's wall, want 0.75 of buildah's", got)
	}
	if got := ownTime(buildSet()); got < 19.9 || got > 20.1 {
		t.Errorf("a RUN takes %v ms beside runc, want 20", got)
	}
}

func TestBeforeHasABarWhereItTookPart(t *testing.T) {
	s := buildSet()
	if got := buildTable(map[string]result.Set{"steps": s}); strings.Contains(got, beside) {
		t.Errorf("before has a bar though it took no part:\n%s", got)
	}
	s.Contenders = append(s.Contenders, "before")
	s.Runs = append(s.Runs, result.Run{Contender: "before", Wall: 2.5, CPU: 2})
	const want = "| steps | wall ÷ that of before | ≤ 1.05 | 1.20 ✗ |\n"
	if got := buildTable(map[string]result.Set{"steps": s}); !strings.Contains(got, want) {
		t.Errorf("the table lacks %q:\n%s", want, got)
	}
	if got := overBest(s); got != 0.75 {
		t.Errorf("before counts as a peer: %v", got)
	}
}

func TestTableTellsOtherTrees(t *testing.T) {
	got := table(buildSet())
	for _, want := range []string{
		"| buildkit | 6.00 s | 6.00 – 6.00 s | 2.00 | 4.00 s | 2.00 | 5.0 MB in 30 |  |",
		"| runc | 2.40 s | 2.40 – 2.40 s | 0.80 | 1.00 s | 0.50 |  |  |",
		"Another tree, or a failure: buildah: `add /a, add /b, add /c`, …",
	} {
		if !strings.Contains(got, want+"\n") && !strings.Contains(got, want+".") {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
}

func TestWriteGivesTheSameBytesTwice(t *testing.T) {
	dir := t.TempDir()
	for _, s := range []result.Set{layerSet(), buildSet()} {
		if err := s.Save(filepath.Join(dir, "results")); err != nil {
			t.Fatal(err)
		}
	}
	var first, second map[string]string
	for _, into := range []*map[string]string{&first, &second} {
		if err := Write(filepath.Join(dir, "results"), filepath.Join(dir, "page.md")); err != nil {
			t.Fatal(err)
		}
		*into = read(t, filepath.Join(dir, "page.md"), filepath.Join(dir, "page/builds.svg"), filepath.Join(dir, "page/layers.svg"))
	}
	if d := cmp.Diff(first, second); d != "" {
		t.Error(d)
	}
	if !strings.Contains(first[filepath.Join(dir, "page/builds.svg")], "buildah") {
		t.Error("the plot has no legend")
	}
}

func read(t *testing.T, paths ...string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		texts[p] = string(text)
	}
	return texts
}
