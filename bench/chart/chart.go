// Package chart draws what package bench measured. It is apart from bench so that programs which only measure do not get
// the plotting library.
package chart

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/lbuild/lbuild/bench"
)

// Write draws each input of a report into dir, which it makes: speed against size, and speed against workers where a
// codec has more than one number of them. Each chart is an SVG and a PNG. An input that was only copied has none. The paths of
// the files are returned in the order in which they were written, also with an error.
func Write(dir string, r *bench.Report) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, in := range r.Inputs {
		results := compressing(r.Of(in.Name))
		if len(results) == 0 {
			continue
		}
		base := filepath.Join(dir, fileName(in.Name, names))
		title := fmt.Sprintf("%s, %.1f MB", in.Name, float64(in.Size)/1e6)
		charts := []namedChart{{"speed-size", sizeChart(title, results)}}
		if workersDiffer(results) {
			charts = append(charts, namedChart{"speed-workers", workersChart(title, results)})
		}
		for _, c := range charts {
			written, err := c.save(base + "-" + c.name)
			files = append(files, written...)
			if err != nil {
				return files, err
			}
		}
	}
	return files, nil
}

type namedChart struct {
	name string
	figure
}

// compressing leaves out what only copies: it would squeeze the others into a corner.
func compressing(all []bench.Result) []bench.Result {
	var results []bench.Result
	for _, x := range all {
		if x.Codec != bench.None {
			results = append(results, x)
		}
	}
	return results
}

// fileName makes a path or image name one that is a file's, and that is not among those taken.
func fileName(input string, taken map[string]bool) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ':' || r == '@' || r < ' ' {
			return '-'
		}
		return r
	}, input)
	name = cmp.Or(strings.TrimLeft(name, "-."), "input")
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	taken[free] = true
	return free
}

// The width and resolution of a chart.
const (
	width = 22 * vg.Centimeter
	dpi   = 120 // of the PNG
)

// save writes path.svg and path.png.
func (c namedChart) save(path string) (files []string, err error) {
	height := c.height()
	svg := vgsvg.New(width, height)
	png := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
	for _, to := range []struct {
		ending string
		canvas interface {
			vg.CanvasSizer
			io.WriterTo
		}
	}{{".svg", svg}, {".png", png}} {
		if err := c.draw(draw.New(to.canvas)); err != nil {
			return files, err
		}
		if err := writeFile(path+to.ending, to.canvas); err != nil {
			return files, err
		}
		files = append(files, path+to.ending)
	}
	return files, nil
}

func writeFile(path string, content io.WriterTo) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = content.WriteTo(f)
	return errors.Join(err, f.Close())
}
