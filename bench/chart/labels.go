package chart

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// placer writes the labels of points beside them, where they are over no other label, no point and no line. A label that
// finds no place is left out.
type placer struct{ series []series }

const (
	labelSize = font.Length(9)
	lineStep  = vg.Millimeter // between the places of a line that labels keep clear of
)

// Plot draws the labels; it is plot.Plotter's.
func (l *placer) Plot(c draw.Canvas, p *plot.Plot) {
	style := text.Style{
		Color: color.Gray{60}, Font: font.From(plot.DefaultFont, labelSize), XAlign: draw.XCenter, YAlign: draw.YCenter,
		Handler: plot.DefaultTextHandler,
	}
	style.Font.Variant = sans
	toX, toY := p.Transforms(&c)
	to := func(p point) vg.Point { return vg.Point{X: toX(p.x), Y: toY(p.y)} }
	taken := l.drawn(to)
	for _, s := range l.series {
		for _, point := range s.points {
			if point.label == "" {
				continue
			}
			if box, free := place(to(point), style.Rectangle(point.label).Size(), taken, c.Rectangle); free {
				taken = append(taken, box)
				c.FillText(style, box.Min.Add(box.Max).Scale(0.5), point.label)
			}
		}
	}
}

// drawn is where the points and lines are.
func (l *placer) drawn(to func(point) vg.Point) (taken []vg.Rectangle) {
	for _, s := range l.series {
		for i, point := range s.points {
			at := to(point)
			taken = append(taken, around(at, 2*glyphRadius, 2*glyphRadius))
			if i == 0 {
				continue
			}
			back := to(s.points[i-1]).Sub(at)
			steps := vg.Length(math.Ceil(math.Hypot(float64(back.X), float64(back.Y)) / float64(lineStep)))
			for n := vg.Length(1); n < steps; n++ {
				taken = append(taken, around(at.Add(back.Scale(n/steps)), lineWidth, lineWidth))
			}
		}
	}
	return taken
}

// place tries the places around a point.
func place(at, size vg.Point, taken []vg.Rectangle, within vg.Rectangle) (box vg.Rectangle, free bool) {
	for _, far := range []vg.Length{1, 1.8, 2.6} {
		dx, dy := size.X/2+far*glyphRadius, size.Y/2+far*glyphRadius
		for _, to := range []vg.Point{{X: dx, Y: dy}, {X: dx, Y: -dy}, {X: -dx, Y: dy}, {X: -dx, Y: -dy}, {Y: dy}, {Y: -dy}, {X: dx}, {X: -dx}} {
			box := around(at.Add(to), size.X, size.Y)
			if inside(box, within) && !overlapsAny(box, taken) {
				return box, true
			}
		}
	}
	return vg.Rectangle{}, false
}

func around(center vg.Point, width, height vg.Length) vg.Rectangle {
	half := vg.Point{X: width / 2, Y: height / 2}
	return vg.Rectangle{Min: center.Sub(half), Max: center.Add(half)}
}

func inside(a, b vg.Rectangle) bool {
	return a.Min.X >= b.Min.X && a.Max.X <= b.Max.X && a.Min.Y >= b.Min.Y && a.Max.Y <= b.Max.Y
}

func overlapsAny(a vg.Rectangle, boxes []vg.Rectangle) bool {
	for _, b := range boxes {
		if a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y {
			return true
		}
	}
	return false
}
