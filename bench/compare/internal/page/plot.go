package page

import (
	"image/color"
	"path/filepath"
	"slices"

	"github.com/lbuild/lbuild/bench/compare/internal/result"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// draw writes a plot of all builds, and one of all layers.
func draw(d data, dir string) error {
	for name, sets := range map[string][]result.Set{"builds.svg": d.Builds, "layers.svg": d.Layers} {
		if len(sets) == 0 {
			continue
		}
		if err := bars(sets, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

const (
	plotWidth  = 9 * vg.Inch
	plotHeight = 4 * vg.Inch
	groupWidth = 55 // points, of the bars of one workload
	headroom   = 1.1
)

// bars draws the wall of each contender, as a multiple of that of the first one.
func bars(sets []result.Set, path string) error {
	p := plot.New()
	p.Title.Text = "wall time, lbuild = 1"
	p.Y.Label.Text = "times lbuild's"
	p.Y.Min = 0
	p.Legend.Top = true
	contenders := contenders(sets)
	width := vg.Points(groupWidth) / vg.Length(len(contenders))
	for i, c := range contenders {
		chart, err := plotter.NewBarChart(ratios(sets, c), width)
		if err != nil {
			return err
		}
		chart.Offset = width * (vg.Length(i) - vg.Length(len(contenders)-1)/2)
		chart.Color = hue(i)
		chart.LineStyle.Width = 0
		p.Add(chart)
		p.Legend.Add(c, chart)
	}
	var names []string
	for _, s := range sets {
		names = append(names, s.Workload)
	}
	p.NominalX(names...)
	p.Y.Max *= headroom
	p.X.Max += float64(len(sets)) / 3 // room for the legend
	return p.Save(plotWidth, plotHeight, path)
}

// contenders are those that made something, in any of the workloads.
func contenders(sets []result.Set) (all []string) {
	for _, s := range sets {
		for _, c := range s.Contenders {
			if s.Summary(c).Size > 0 && !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

func ratios(sets []result.Set, contender string) plotter.Values {
	values := make(plotter.Values, len(sets))
	for i, s := range sets {
		values[i] = s.Ratio(contender, s.Contenders[0], result.Wall)
	}
	return values
}

// hue is one of a few colours that can be told apart, also without seeing red and green.
func hue(i int) color.Color {
	colours := [...]color.RGBA{
		{0x00, 0x72, 0xb2, 0xff},
		{0xe6, 0x9f, 0x00, 0xff},
		{0x00, 0x9e, 0x73, 0xff},
		{0xd5, 0x5e, 0x00, 0xff},
		{0x56, 0xb4, 0xe9, 0xff},
		{0xcc, 0x79, 0xa7, 0xff},
		{0xf0, 0xe4, 0x42, 0xff},
		{0x55, 0x55, 0x55, 0xff},
		{0x99, 0x4f, 0x00, 0xff},
		{0x40, 0xb0, 0xa6, 0xff},
		{0xaa, 0xaa, 0xaa, 0xff},
	}
	return colours[i%len(colours)]
}
