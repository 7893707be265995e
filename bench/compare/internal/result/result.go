// Package result keeps what was measured: a file of JSON for each workload, with the machine and the versions.
package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Set is what was measured on one workload, in one go.
type Set struct {
	Workload string `json:"workload"`
	Title    string `json:"title"`
	// Layer tells that libraries made a layer, and not programs an image.
	Layer bool      `json:"layer"`
	Taken time.Time `json:"taken"`
	// Command is what was typed.
	Command  string            `json:"command"`
	Commit   string            `json:"commit"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	How      map[string]string `json:"how"`
	// Contenders are in the order that they ran in the first round.
	Contenders []string `json:"contenders"`
	Runs       []Run    `json:"runs"`
	Checks     []Check  `json:"checks"`
}

// Machine is where it was measured.
type Machine struct {
	CPU        string   `json:"cpu"`
	Cores      int      `json:"cores"`
	Memory     int64    `json:"memory"` // bytes
	Kernel     string   `json:"kernel"`
	FileSystem string   `json:"file_system"`
	Busy       *float64 `json:"busy,omitempty"` // cores that other work took when it began; nil where it was not sampled
	// SHA tells that the processor has instructions for SHA-256, which make it several times faster.
	SHA bool `json:"sha_extensions"`
}

// Run is one measurement.
type Run struct {
	Contender string  `json:"contender"`
	Round     int     `json:"round"`
	Wall      float64 `json:"wall"`             // seconds
	CPU       float64 `json:"cpu"`              // seconds, user and system
	Memory    int64   `json:"memory,omitempty"` // bytes, the most that was resident
	Size      int64   `json:"size,omitempty"`   // bytes of the new layers, packed
	Plain     int64   `json:"plain,omitempty"`  // bytes of the tar
	Layers    int     `json:"layers,omitempty"`
}

// Check says whether a contender's result was the same tree as that of the first one.
type Check struct {
	Contender   string   `json:"contender"`
	Same        bool     `json:"same"`
	Differences []string `json:"differences,omitempty"`
	Ignored     []string `json:"ignored,omitempty"`
}

// Save writes the set as DIR/WORKLOAD.json, whole or not at all.
func (s Set) Save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, s.Workload+".json")
	//nolint:gosec // it is for everybody to read
	if err := os.WriteFile(path+".part", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// Load reads all sets of a directory, by workload.
func Load(dir string) (map[string]Set, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	sets := map[string]Set{}
	for _, path := range paths {
		var s Set
		text, err := os.ReadFile(path)
		if err = errors.Join(err, json.Unmarshal(text, &s)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if name := strings.TrimSuffix(filepath.Base(path), ".json"); s.Workload != name {
			return nil, fmt.Errorf("%s: has workload %q", path, s.Workload)
		}
		sets[s.Workload] = s
	}
	return sets, nil
}

// Median is the middle of some values, or the mean of the two in the middle. Of none it is 0.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// Summary is one contender's runs.
type Summary struct {
	Contender string
	Runs      int
	// Wall and CPU are medians in seconds. Fastest and Slowest are walls.
	Wall, CPU, Fastest, Slowest float64
	// Memory and Size are medians in bytes, and Plain and Layers those of the last run.
	Memory, Size, Plain float64
	Layers              int
}

// Summary summarizes the runs of a contender. Runs is 0 where there are none.
func (s Set) Summary(contender string) Summary {
	sum := Summary{Contender: contender}
	var walls, cpus, memories, sizes []float64
	for _, r := range s.Runs {
		if r.Contender != contender {
			continue
		}
		walls, cpus = append(walls, r.Wall), append(cpus, r.CPU)
		memories, sizes = append(memories, float64(r.Memory)), append(sizes, float64(r.Size))
		sum.Plain, sum.Layers = float64(r.Plain), r.Layers
	}
	if sum.Runs = len(walls); sum.Runs == 0 {
		return sum
	}
	sum.Wall, sum.CPU, sum.Fastest, sum.Slowest = Median(walls), Median(cpus), slices.Min(walls), slices.Max(walls)
	sum.Memory, sum.Size = Median(memories), Median(sizes)
	return sum
}

// Ratio is the median, over the rounds that both have, of one contender's figure divided by the other's in the same round.
// It is 0 where no round has both.
func (s Set) Ratio(of, to string, figure func(Run) float64) float64 {
	byRound := map[int]float64{}
	for _, r := range s.Runs {
		if r.Contender == to {
			byRound[r.Round] = figure(r)
		}
	}
	var ratios []float64
	for _, r := range s.Runs {
		if base := byRound[r.Round]; r.Contender == of && base > 0 {
			ratios = append(ratios, figure(r)/base)
		}
	}
	return Median(ratios)
}

// Wall and CPU are figures for Ratio.
func Wall(r Run) float64 { return r.Wall }

// CPU is the CPU time of a run.
func CPU(r Run) float64 { return r.CPU }

// Size is the size of what a run made.
func Size(r Run) float64 { return float64(r.Size) }
