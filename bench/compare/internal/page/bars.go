package page

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lbuild/lbuild/bench/compare/internal/result"
)

// bar is a promise about a figure. One without a limit explains the one before it.
type bar struct {
	text    string
	limit   float64
	atLeast bool
	// of computes the figure from a workload. It is 0 where something was not measured.
	of func(result.Set) float64
	// only is the one workload that it is about. Empty stands for all that are large enough to tell.
	only string
}

func (b bar) holds(figure float64) bool {
	if b.atLeast {
		return figure >= b.limit
	}
	return figure <= b.limit
}

func (b bar) limits() string {
	switch {
	case b.limit == 0:
		return ""
	case b.atLeast:
		return fmt.Sprintf("≥ %g", b.limit)
	}
	return fmt.Sprintf("≤ %g", b.limit)
}

// cell is a figure with its mark, or a dash for one that is missing.
func (b bar) cell(figure float64) string {
	switch {
	case figure == 0 || math.IsNaN(figure) || math.IsInf(figure, 0):
		return "–"
	case b.limit == 0:
		return fmt.Sprintf("%.2f", figure)
	case b.holds(figure):
		return fmt.Sprintf("%.2f ✓", figure)
	}
	text := fmt.Sprintf("%.2f", figure)
	if text == fmt.Sprintf("%.2f", b.limit) {
		text = fmt.Sprintf("%.9g", figure) // or it would look reached
	}
	return text + " ✗"
}

// ratio makes a figure of two contenders in the same rounds.
func ratio(of, to string, figure func(result.Run) float64) func(result.Set) float64 {
	return func(s result.Set) float64 { return s.Ratio(of, to, figure) }
}

func layerBars() []bar {
	const small = "layer-small"
	wall, cpu, size := result.Wall, result.CPU, result.Size
	return []bar{
		{text: "gzip: wall ÷ bound", limit: 1.15, of: overBound},
		{text: "gzip: containerd's wall ÷ lbuild's", limit: 5, atLeast: true, of: ratio("containerd gzip", "lbuild gzip", wall)},
		{text: "at most possible here", of: atBest("containerd gzip", "lbuild gzip")},
		{text: "gzip: BuildKit's wall ÷ lbuild's", limit: 5, atLeast: true, of: ratio("buildkit gzip", "lbuild gzip", wall)},
		{text: "at most possible here", of: atBest("buildkit gzip", "lbuild gzip")},
		{text: "gzip: size ÷ BuildKit's", limit: 1.04, of: ratio("lbuild gzip", "buildkit gzip", size)},
		{text: "gzip: wall ÷ containers/storage's", limit: 0.85, of: ratio("lbuild gzip", "storage gzip", wall)},
		{text: "gzip: size ÷ containers/storage's", limit: 1, of: ratio("lbuild gzip", "storage gzip", size)},
		{text: "zstd: wall of BuildKit's gzip ÷ lbuild's zstd", limit: 9, atLeast: true, of: ratio("buildkit gzip", "lbuild zstd", wall)},
		{text: "at most possible here", of: atBest("buildkit gzip", "lbuild zstd")},
		{text: "zstd: size ÷ BuildKit's gzip", limit: 1, of: ratio("lbuild zstd", "buildkit gzip", size)},
		{text: "zstd: wall ÷ BuildKit's zstd", limit: 0.65, of: ratio("lbuild zstd", "buildkit zstd", wall)},
		{text: "none: wall ÷ the larger of SHA-256 and reading", limit: 1.3, of: overFloor},
		{text: "none: CPU ÷ containerd's", limit: 0.5, of: ratio("lbuild none", "containerd none", cpu), only: small},
	}
}

// overBound is the wall of lbuild's gzip, divided by the larger of the SHA-256 of its tar and its CPU time on all cores.
func overBound(s result.Set) float64 {
	gzip, hash := s.Summary("lbuild gzip"), s.Summary("sha256")
	return gzip.Wall / max(hash.Wall, gzip.CPU/float64(s.Machine.Cores))
}

// atBest is how many times faster than another a packer could be, if it kept all cores busy and the other one of them.
func atBest(other, packer string) func(result.Set) float64 {
	return func(s result.Set) float64 { return s.Ratio(other, packer, result.CPU) * float64(s.Machine.Cores) }
}

// overFloor is the wall of lbuild's plain layer, divided by the larger of hashing it and reading its files.
func overFloor(s result.Set) float64 {
	return s.Summary("lbuild none").Wall / max(s.Summary("sha256").Wall, s.Summary("read").Wall)
}

func buildBars() []bar {
	bars := []bar{
		{only: "large", text: "wall ÷ the best peer's", limit: 0.35, of: overBest},
		{only: "changed", text: "wall ÷ the best peer's", limit: 0.2, of: overBest},
		{only: "apt", text: "wall ÷ the best peer's", limit: 0.75, of: overBest},
		{only: "steps", text: "wall ÷ BuildKit's", limit: 0.7, of: ratio("lbuild", "buildkit", result.Wall)},
		{only: "steps", text: "milliseconds that lbuild adds to each RUN of runc alone", limit: 40, of: ownTime},
	}
	for _, workload := range order {
		bars = append(bars, bar{only: workload, text: beside, limit: 1.05, of: ratio("lbuild", "before", result.Wall)})
	}
	return bars
}

// beside is a bar of builds that an earlier lbuild took part in.
const beside = "wall ÷ that of before"

// overBest is the largest of lbuild's ratios to a peer: that to the fastest one.
func overBest(s result.Set) (worst float64) {
	for _, c := range s.Contenders {
		if c != "lbuild" && c != "before" && c != "runc" {
			worst = max(worst, s.Ratio("lbuild", c, result.Wall))
		}
	}
	return worst
}

// ownTime is what a RUN takes longer than the same container of runc alone, with its share of all else in the build, in
// milliseconds.
func ownTime(s result.Set) float64 {
	const steps, millis = 30, 1000
	alone := s.Summary("runc")
	if alone.Runs == 0 {
		return 0
	}
	return (s.Summary("lbuild").Wall - alone.Wall) / steps * millis
}

// layerTable has a row for each bar and a column for each workload.
func layerTable(sets []result.Set) string {
	var b strings.Builder
	b.WriteString("| | bar |")
	for _, s := range sets {
		fmt.Fprintf(&b, " %s |", s.Title)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(sets)) + "\n")
	for _, bar := range layerBars() {
		fmt.Fprintf(&b, "| %s | %s |", bar.text, bar.limits())
		for _, s := range sets {
			if bar.only != "" && bar.only != s.Workload {
				b.WriteString(" |")
				continue
			}
			fmt.Fprintf(&b, " %s |", bar.cell(bar.of(s)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// buildTable has a row for each bar.
func buildTable(sets map[string]result.Set) string {
	var b strings.Builder
	b.WriteString("| | | bar | measured |\n|---|---|---|---|\n")
	for _, bar := range buildBars() {
		s, ok := sets[bar.only]
		if !ok || bar.text == beside && !slices.Contains(s.Contenders, "before") {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Title, bar.text, bar.limits(), bar.cell(bar.of(s)))
	}
	return b.String()
}
