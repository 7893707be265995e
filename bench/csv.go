package bench

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"time"
)

// WriteCSV writes a line for each run, after a line with the names of the columns. Each line says all that it needs to be
// read alone.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(slices.Concat(resultColumns(), sampleColumns(), reportColumns())); err != nil {
		return err
	}
	for i := range r.Results {
		result := &r.Results[i]
		fixed := result.cells(r.input(result.Input))
		for n, s := range result.Samples {
			if err := out.Write(slices.Concat(fixed, s.cells(n+1), r.cells())); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func resultColumns() []string {
	return []string{"input", "seed", "input_bytes", "input_digest", "codec", "workers", "codec_version"}
}

func (r *Result) cells(in InputInfo) []string {
	return []string{
		in.Name, strconv.FormatUint(in.Seed, 10), whole(in.Size), in.Digest.String(), r.Codec, strconv.Itoa(r.Workers), r.Version,
	}
}

func sampleColumns() []string {
	return []string{
		"run", "size_bytes", "digest", "wall_seconds", "cpu_seconds", "peak_memory_bytes",
		"decompress_wall_seconds", "decompress_cpu_seconds", "decompress_peak_memory_bytes",
	}
}

func (s Sample) cells(run int) []string {
	return []string{
		strconv.Itoa(run), whole(s.Size), s.Digest.String(), decimal(s.Wall), decimal(s.CPU), whole(s.Memory),
		decimal(s.Decompress.Wall), decimal(s.Decompress.CPU), whole(s.Decompress.Memory),
	}
}

func reportColumns() []string {
	return []string{"time", "machine_cpu", "cores", "machine_memory_bytes", "system", "go", "lbuild"}
}

func (r *Report) cells() []string {
	m := r.Machine
	return []string{r.Time.Format(time.RFC3339), m.CPU, strconv.Itoa(m.Cores), whole(m.Memory), m.System, m.Go, r.Lbuild}
}

func whole(n int64) string     { return strconv.FormatInt(n, 10) }
func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 6, 64) }
