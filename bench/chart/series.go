package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lbuild/lbuild/bench"
)

const speedAxis = "speed in MB of the input per second (log scale)"

// sizeChart has a line for each codec, with most workers, through its levels.
func sizeChart(title string, results []bench.Result) figure {
	f := figure{
		title: title + ": speed against size",
		x:     "compressed size in % of the input",
		y:     speedAxis,
	}
	most := map[string]int{} // workers
	for _, x := range results {
		most[x.Codec] = max(most[x.Codec], x.Workers)
	}
	for _, x := range results {
		if x.Workers != most[x.Codec] {
			continue
		}
		name, level := split(x.Codec)
		i := slices.IndexFunc(f.series, func(s series) bool { return s.codec == name })
		if i < 0 {
			i = len(f.series)
			f.series = append(f.series, series{name: legendName(name, x), codec: name})
		}
		f.series[i].points = append(f.series[i].points, point{100 * x.Ratio, x.Speed, level})
	}
	for _, s := range f.series {
		slices.SortStableFunc(s.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	}
	return f
}

func legendName(codec string, x bench.Result) string {
	if !x.Parallel {
		return codec
	}
	return fmt.Sprintf("%s, %s", codec, workers(x.Workers))
}

func workers(n int) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%d workers", n)
}

// workersChart has a line for each codec and level.
func workersChart(title string, results []bench.Result) figure {
	f := figure{title: title + ": speed against workers", x: "workers (log scale)", y: speedAxis}
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
	return f
}

// workersDiffer reports whether results have several numbers of workers.
func workersDiffer(results []bench.Result) bool {
	return slices.ContainsFunc(results, func(x bench.Result) bool { return x.Workers != results[0].Workers })
}

// split takes the level off a codec.
func split(codec string) (name, level string) {
	name, level, _ = strings.Cut(codec, ":")
	return name, level
}
