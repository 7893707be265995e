package chart

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/lbuild/lbuild/bench"
)

// figure is a chart with lines, each with a name in the legend beside it.
type figure struct {
	title, x, y string
	xTicks      []float64 // where the horizontal axis is logarithmic; nil where it is linear
	series      []series
}

// series is one line. Its points have labels.
type series struct {
	name   string // in the legend
	codec  string // which decides the color
	nth    int    // of the lines in this color, which decides how they are dashed
	points []point
}

type point struct {
	x, y  float64
	label string // "" for none
}

const (
	legendWidth = 4.8 * vg.Centimeter
	legendTop   = 1.2 * vg.Centimeter
	legendLine  = 0.55 * vg.Centimeter
	leastHeight = 13 * vg.Centimeter
	margin      = 0.4 * vg.Centimeter
	lineWidth   = 1.4 * vg.Millimeter / 2
	glyphRadius = 1.2 * vg.Millimeter
)

// height is that of the whole, with room for the legend.
func (f figure) height() vg.Length {
	return max(leastHeight, legendTop+margin+vg.Length(len(f.series))*legendLine)
}

// draw draws on the whole of c: the plot on the left, the legend on the right of it.
func (f figure) draw(c draw.Canvas) error {
	c.FillPolygon(color.White, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
	p := f.axes()
	p.Add(grid())
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.Padding = vg.Millimeter
	legend.ThumbnailWidth = vg.Centimeter
	legend.TextStyle.Font.Variant = sans
	for _, s := range f.series {
		line, points, err := s.plotters()
		if err != nil {
			return err
		}
		p.Add(line, points)
		legend.Add(s.name, line, points)
	}
	f.widen(p)
	p.Add(&placer{f.series})
	p.Draw(draw.Crop(c, margin, -legendWidth-margin, margin, -margin))
	legend.Draw(draw.Crop(c, c.Size().X-legendWidth, -margin, 0, -legendTop))
	return nil
}

// sans is the kind of letters.
const sans = font.Variant("Sans")

func (f figure) axes() *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.title, f.x, f.y
	p.Title.Padding = 4 * vg.Millimeter
	for _, style := range []*text.Style{
		&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label,
	} {
		style.Font.Variant = sans
	}
	p.X.Label.Padding, p.Y.Label.Padding = 2*vg.Millimeter, 2*vg.Millimeter
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decades)
	if f.xTicks != nil {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(ticks(f.xTicks))
	}
	return p
}

// widen leaves room around the points, and some where they are all in one place.
func (f figure) widen(p *plot.Plot) {
	p.Y.Min, p.Y.Max = p.Y.Min*0.8, p.Y.Max*1.25
	if f.xTicks != nil {
		p.X.Min, p.X.Max = p.X.Min*0.9, p.X.Max*1.1
		return
	}
	room := max((p.X.Max-p.X.Min)*0.08, 0.5)
	p.X.Min, p.X.Max = p.X.Min-room, p.X.Max+room
}

func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = color.Gray{225}, color.Gray{225}
	return g
}

// decades are ticks at 1, 2 and 5 times the powers of ten.
func decades(least, most float64) []plot.Tick {
	var list []float64
	for power := math.Pow(10, math.Floor(math.Log10(least))); power <= most; power *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * power; v >= least && v <= most {
				list = append(list, v)
			}
		}
	}
	return ticks(list)
}

func ticks(values []float64) []plot.Tick {
	list := make([]plot.Tick, len(values))
	for i, v := range values {
		list[i] = plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', -1, 64)}
	}
	return list
}

func (s series) plotters() (*plotter.Line, *plotter.Scatter, error) {
	xys := make(plotter.XYs, len(s.points))
	for i, p := range s.points {
		xys[i].X, xys[i].Y = p.x, p.y
	}
	line, points, err := plotter.NewLinePoints(xys)
	if err != nil {
		return nil, nil, err
	}
	look := slices.Index(bench.Names(), s.codec)
	if look < 0 {
		look = 0 // a codec that bench does not know; no other has this color
	}
	line.Color, points.Color = colors()[look], colors()[look]
	line.Width = lineWidth
	dashes := [][]vg.Length{nil, {4 * vg.Millimeter / 2, vg.Millimeter}, {vg.Millimeter / 2, vg.Millimeter}}
	line.Dashes = dashes[s.nth%len(dashes)]
	points.Shape, points.Radius = shapes()[look%len(shapes())], glyphRadius
	return line, points, nil
}

// colors has one for each of bench.Names.
func colors() []color.Color {
	return []color.Color{
		color.Gray{90},
		color.RGBA{0x4e, 0x79, 0xa7, 0xff},
		color.RGBA{0x76, 0xb7, 0xb2, 0xff},
		color.RGBA{0x59, 0xa1, 0x4f, 0xff},
		color.RGBA{0x9c, 0x75, 0x5f, 0xff},
		color.RGBA{0xe1, 0x57, 0x59, 0xff},
		color.RGBA{0xb0, 0x3a, 0x86, 0xff},
		color.RGBA{0xf2, 0x8e, 0x2b, 0xff},
		color.RGBA{0xd4, 0xae, 0x20, 0xff},
		color.RGBA{0x2b, 0x2b, 0x2b, 0xff},
	}
}

func shapes() []draw.GlyphDrawer {
	return []draw.GlyphDrawer{
		draw.CircleGlyph{}, draw.SquareGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{},
	}
}
