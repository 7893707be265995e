package bench

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Report is what a Run measured, and on what.
type Report struct {
	Time     time.Time   `json:"time"`
	Lbuild   string      `json:"lbuild,omitempty"` // version
	Machine  Machine     `json:"machine"`
	Runs     int         `json:"runs"`     // of each candidate; of the last input there are fewer if Run failed
	Baseline string      `json:"baseline"` // label of the candidate that ratios are to
	Missing  []string    `json:"missing"`  // codecs left out of the defaults because they are not on PATH
	Inputs   []InputInfo `json:"inputs"`
	Results  []Result    `json:"results"` // by input, then in the order of the codecs and workers
}

// InputInfo says what was compressed.
type InputInfo struct {
	Name   string        `json:"name"`
	Corpus bool          `json:"corpus"` // made from a seed
	Seed   uint64        `json:"seed"`
	Size   int64         `json:"size_bytes"`
	Digest digest.Digest `json:"digest"`
}

// Result is a candidate, a codec with a number of workers, on one input.
type Result struct {
	Input    string `json:"input"`
	Codec    string `json:"codec"` // with its level
	Workers  int    `json:"workers"`
	Parallel bool   `json:"parallel"` // the number of workers makes a difference
	Version  string `json:"version,omitempty"`

	// Size is the median of the runs, as is each median below.
	Size       int64  `json:"size_bytes"`
	SameBytes  bool   `json:"same_bytes"` // all runs wrote the same
	Wall       Spread `json:"wall_seconds"`
	CPU        Spread `json:"cpu_seconds"`
	Decompress Spread `json:"decompress_seconds"`
	// Memory is the highest peak of all runs while compressing, 0 if it is not known.
	Memory int64 `json:"peak_memory_bytes"`
	// Speed and DecompressSpeed are in MB of the input per second.
	Speed           float64 `json:"mb_per_second"`
	DecompressSpeed float64 `json:"decompress_mb_per_second"`
	// Ratio is the size as a share of the input. Those that follow are shares of the baseline's.
	Ratio      float64 `json:"size_of_input"`
	SizeRatio  float64 `json:"size_of_baseline"`
	SpeedRatio float64 `json:"speed_of_baseline"`
	CPURatio   float64 `json:"cpu_of_baseline"`

	Samples []Sample `json:"samples"` // in the order of the runs
}

// Sample is one run.
type Sample struct {
	Cost
	Size       int64         `json:"size_bytes"`
	Digest     digest.Digest `json:"digest"` // of the compressed form
	Decompress Cost          `json:"decompress"`
}

// Label is the codec with its level, and the number of workers where it makes a difference.
func (r *Result) Label() string { return labelOf(r.Codec, r.Workers, r.Parallel) }

// Spread is the middle and the ends of some figures.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Width is how far the ends are apart, as a share of the median.
func (s Spread) Width() float64 { return ratio(s.Max-s.Min, s.Median) }

func spreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// ratio is 0 where there is nothing to compare with.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// megabyte is the unit of speeds and sizes.
const megabyte = 1e6

// summarize fills in what follows from the samples.
func (r *Report) summarize() {
	for i := range r.Results {
		r.Results[i].summarize(r.input(r.Results[i].Input).Size)
	}
	for i := range r.Results {
		result := &r.Results[i]
		base := r.baseline(result.Input)
		if base == nil {
			continue
		}
		result.SizeRatio = ratio(float64(result.Size), float64(base.Size))
		result.SpeedRatio = ratio(result.Speed, base.Speed)
		result.CPURatio = ratio(result.CPU.Median, base.CPU.Median)
	}
}

func (r *Result) summarize(inputSize int64) {
	r.Size = int64(r.spread(func(s Sample) float64 { return float64(s.Size) }).Median)
	r.Wall = r.spread(func(s Sample) float64 { return s.Wall })
	r.CPU = r.spread(func(s Sample) float64 { return s.CPU })
	r.Decompress = r.spread(func(s Sample) float64 { return s.Decompress.Wall })
	r.Memory = int64(r.spread(func(s Sample) float64 { return float64(s.Memory) }).Max)
	r.SameBytes = !slices.ContainsFunc(r.Samples, func(s Sample) bool { return s.Digest != r.Samples[0].Digest })
	r.Speed = ratio(float64(inputSize)/megabyte, r.Wall.Median)
	r.DecompressSpeed = ratio(float64(inputSize)/megabyte, r.Decompress.Median)
	r.Ratio = ratio(float64(r.Size), float64(inputSize))
}

func (r *Result) spread(figure func(Sample) float64) Spread {
	figures := make([]float64, len(r.Samples))
	for i, s := range r.Samples {
		figures[i] = figure(s)
	}
	return spreadOf(figures)
}

func (r *Report) input(name string) InputInfo {
	i := slices.IndexFunc(r.Inputs, func(in InputInfo) bool { return in.Name == name })
	if i < 0 {
		return InputInfo{}
	}
	return r.Inputs[i]
}

// baseline is the result on an input that the others are compared with, nil if there is none.
func (r *Report) baseline(input string) *Result {
	i := slices.IndexFunc(r.Results, func(x Result) bool { return x.Input == input && x.Label() == r.Baseline })
	if i < 0 {
		return nil
	}
	return &r.Results[i]
}

// Of gives the results on one input, in order. They are the report's own.
func (r *Report) Of(input string) []Result {
	from := slices.IndexFunc(r.Results, func(x Result) bool { return x.Input == input })
	if from < 0 {
		return nil
	}
	to := from
	for to < len(r.Results) && r.Results[to].Input == input {
		to++
	}
	return r.Results[from:to]
}

// WriteJSON writes the whole report, with every run.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
