package chart

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// placer writes the labels of points beside them, where they are over no other label and no other point. A label that
// finds no place is left out.
type placer struct{ points []point }

func (l *placer) add(s series) { l.points = append(l.points, s.points...) }

const labelSize = font.Length(9)

// Plot draws the labels; it is plot.Plotter's.
func (l *placer) Plot(c draw.Canvas, p *plot.Plot) {
	style := text.Style{
		Color: color.Gray{60}, Font: font.From(plot.DefaultFont, labelSize), XAlign: draw.XCenter, YAlign: draw.YCenter,
		Handler: plot.DefaultTextHandler,
	}
	toX, toY := p.Transforms(&c)
	var taken []vg.Rectangle
	for _, point := range l.points {
		taken = append(taken, around(vg.Point{X: toX(point.x), Y: toY(point.y)}, 2*glyphRadius, 2*glyphRadius))
	}
	for _, point := range l.points {
		if point.label == "" {
			continue
		}
		at := vg.Point{X: toX(point.x), Y: toY(point.y)}
		if box, free := place(at, style.Rectangle(point.label).Size(), taken, c.Rectangle); free {
			taken = append(taken, box)
			c.FillText(style, vg.Point{X: (box.Min.X + box.Max.X) / 2, Y: (box.Min.Y + box.Max.Y) / 2}, point.label)
		}
	}
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
