package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lbuild/lbuild/bench"
)

// speedAxis is short because the library keeps room for its text as if the axis were linear.
const speedAxis = "MB/s of the input"

// sizeChart has a line for each codec, with most workers, through its levels.
func sizeChart(title string, results []bench.Result) figure {
	most, top := map[string]int{}, 1 // workers
	for _, x := range results {
		most[x.Codec] = max(most[x.Codec], x.Workers)
		top = max(top, x.Workers)
	}
	f := figure{
		title: title + ": speed (logarithmic) against size, up to " + workers(top),
		x:     "compressed size in % of the input; the labels are levels",
		y:     speedAxis,
	}
	for _, x := range results {
		if x.Workers != most[x.Codec] {
			continue
		}
		name, level := split(x.Codec)
		i := slices.IndexFunc(f.series, func(s series) bool { return s.codec == name })
		if i < 0 {
			i = len(f.series)
			f.series = append(f.series, series{name: name, codec: name})
		}
		f.series[i].points = append(f.series[i].points, point{100 * x.Ratio, x.Speed, level})
	}
	for _, s := range f.series {
		slices.SortStableFunc(s.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	}
	return f
}

func workers(n int) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", n)
}

// workersChart has a line for each codec and level.
func workersChart(title string, results []bench.Result) figure {
	f := figure{title: title + ": speed against workers, both logarithmic", x: "workers", y: speedAxis}
	lines := map[string]int{} // of a codec
	for _, x := range results {
		if n := float64(x.Workers); !slices.Contains(f.xTicks, n) {
			f.xTicks = append(f.xTicks, n)
		}
		i := slices.IndexFunc(f.series, func(s series) bool { return s.name == x.Codec })
		if i < 0 {
			name, _ := split(x.Codec)
			i = len(f.series)
			f.series = append(f.series, series{name: x.Codec, codec: name, nth: lines[name]})
			lines[name]++
		}
		f.series[i].points = append(f.series[i].points, point{x: float64(x.Workers), y: x.Speed})
	}
	slices.Sort(f.xTicks)
	for _, s := range f.series { // a baseline's workers come last
		slices.SortStableFunc(s.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	}
	return f
}

// workersDiffer reports whether any codec has several numbers of workers. Those that cannot use them count as one.
func workersDiffer(results []bench.Result) bool {
	first := map[string]int{} // of a codec
	return slices.ContainsFunc(results, func(x bench.Result) bool {
		if _, ok := first[x.Codec]; !ok {
			first[x.Codec] = x.Workers
		}
		return x.Parallel && x.Workers != first[x.Codec]
	})
}

// split takes the level off a codec.
func split(codec string) (name, level string) {
	name, level, _ = strings.Cut(codec, ":")
	return name, level
}
