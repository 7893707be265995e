package bench

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// legend says what the columns are.
const legend = `
Runs: %d; times and speeds are their medians. MB is 10^6 bytes, of the input in MB/s and unpack MB/s.
spread: slowest less fastest run, as a share of the median. ×size, ×speed, ×cpu: of those of %s.
memory: the most that was resident while compressing.
`

// WriteTable writes the report as text: where it was made, a table for each input, and what the columns mean.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	r.writeMachine(&b)
	for _, in := range r.Inputs {
		r.writeInput(&b, in)
	}
	fmt.Fprintf(&b, legend, r.Runs, r.Baseline)
	if busy := r.busy(); busy != "" {
		b.WriteString(busy)
	}
	if len(r.Missing) > 0 {
		fmt.Fprintf(&b, "Left out, not on PATH: %s\n", strings.Join(r.Missing, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quiet is which share of a core a codec without workers gets at least on a machine that does nothing else.
const quiet = 0.85

// busy warns of a machine that did other things meanwhile, so that seconds say little.
func (r *Report) busy() string {
	var wall, cpu float64
	for _, x := range r.Results {
		if !x.Parallel && x.Codec != None {
			wall, cpu = wall+x.Wall.Median, cpu+x.CPU.Median
		}
	}
	if wall == 0 || cpu >= quiet*wall {
		return ""
	}
	return fmt.Sprintf("The machine was busy: codecs of one thread had %.0f%% of a core. Better compare cpu s than seconds.\n", 100*cpu/wall)
}

func (r *Report) writeMachine(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "%s, %d cores, %.0f MB memory, %s, %s", m.CPU, m.Cores, float64(m.Memory)/megabyte, m.System, m.Go)
	if r.Lbuild != "" {
		fmt.Fprintf(b, ", lbuild %s", r.Lbuild)
	}
	b.WriteByte('\n')
}

func (r *Report) writeInput(b *strings.Builder, in InputInfo) {
	fmt.Fprintf(b, "\n%s", in.Name)
	if in.Corpus {
		fmt.Fprintf(b, ", seed %d", in.Seed)
	}
	fmt.Fprintf(b, ": %.1f MB", float64(in.Size)/megabyte)
	results := r.Of(in.Name)
	if len(results) > 0 && len(results[0].Samples) < r.Runs {
		fmt.Fprintf(b, ", only %d of %d runs", len(results[0].Samples), r.Runs)
	}
	b.WriteByte('\n')
	rows := [][]string{{
		"codec", "workers", "MB", "of input", "×size", "seconds", "spread", "MB/s", "×speed", "cpu s", "×cpu", "unpack MB/s", "memory MB",
	}}
	for _, x := range results {
		rows = append(rows, row(x))
	}
	writeRows(b, rows)
}

func row(x Result) []string {
	workers, memory := "-", "-"
	if x.Parallel {
		workers = fmt.Sprint(x.Workers)
	}
	if x.Memory > 0 {
		memory = fmt.Sprintf("%.0f", float64(x.Memory)/megabyte)
	}
	return []string{
		x.Codec, workers,
		fmt.Sprintf("%.2f", float64(x.Size)/megabyte), fmt.Sprintf("%.1f%%", 100*x.Ratio), fmt.Sprintf("%.3f", x.SizeRatio),
		fmt.Sprintf("%.3f", x.Wall.Median), fmt.Sprintf("%.0f%%", 100*x.Wall.Width()),
		fmt.Sprintf("%.0f", x.Speed), fmt.Sprintf("%.2f", x.SpeedRatio),
		fmt.Sprintf("%.3f", x.CPU.Median), fmt.Sprintf("%.2f", x.CPURatio),
		fmt.Sprintf("%.0f", x.DecompressSpeed), memory,
	}
}

// writeRows aligns columns: the first to the left, numbers to the right.
func writeRows(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
}
