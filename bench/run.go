package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options say what is measured. The zero value is the mixed corpus, with DefaultCodecs, three times.
type Options struct {
	// Inputs are compressed one after the other. Default: the mixed corpus.
	Inputs []Input
	// Codecs are compared, each once. Default: DefaultCodecs.
	Codecs []Codec
	// Workers are the numbers of workers that codecs are tried with, if they can use any. Default: DefaultWorkers.
	Workers []int
	// Runs is how many times each is measured. Default: 3.
	Runs int
	// Baseline is what the others are compared with, as CODEC[:LEVEL][@WORKERS]; without workers it is the fewest. It is
	// measured also when Codecs or Workers lack it. Default: std/gzip, which other builders pack with.
	Baseline string
	// Child is a command line that calls the function Child with the arguments that follow it. Each pass of a library then
	// has a process of its own, so that its memory is known. Default: passes run in this process and their memory is not
	// known; what else the process does counts as theirs.
	Child []string
	// Dir gets two temporary files, as large as the input and its compressed form. They have no names, so nothing is left
	// whatever happens. Default: os.TempDir().
	Dir string
	// Progress is told before each measurement and after the last, by one goroutine. Default: nobody is.
	Progress func(Progress)
	// Version is that of the program, for the report.
	Version string
}

// Progress tells how far Run is.
type Progress struct {
	Done, Total int    // measurements
	Input       string // "" at the end
	Codec       string // with its level; "" while the input is being made
	Workers     int
	Run         int // from 1
}

// ErrCorrupt says that a codec does not give back what it got.
var ErrCorrupt = errors.New("what came out of decompression is not what went in")

// Run measures: for each input, the first run of all candidates, then the second of all, so that what disturbs the
// machine for a while disturbs all of them. Each result is decompressed and compared with the input; one that differs
// ends Run with ErrCorrupt. When the context ends, Run ends the processes that it started, and returns its cause.
//
// With an error the report has the inputs that were done, and of the one that failed the runs that all candidates had;
// it is nil if there are none.
func Run(ctx context.Context, opts Options) (*Report, error) {
	p, err := newPlan(ctx, opts)
	if err != nil {
		return nil, err
	}
	report := &Report{
		Time: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(), Lbuild: opts.Version,
		Runs: p.Runs, Baseline: p.baseline.label(), Missing: append([]string{}, p.missing...), // in JSON an empty list, and no null
	}
	r := &runner{plan: p, total: len(p.Inputs) * len(p.candidates) * p.Runs, report: report}
	for _, input := range p.Inputs {
		if err := r.input(ctx, input); err != nil {
			if len(report.Results) == 0 {
				report = nil
			}
			return report, fmt.Errorf("input %s: %w", input.Name, err)
		}
	}
	r.tell(Progress{})
	return report, nil
}

// runner is one Run.
type runner struct {
	*plan
	done, total int // measurements
	report      *Report
}

func (r *runner) tell(p Progress) {
	if r.Progress != nil {
		p.Done, p.Total = r.done, r.total
		r.Progress(p)
	}
}

// input measures all candidates on one input and adds their results to the report, also with an error.
func (r *runner) input(ctx context.Context, input Input) (err error) {
	r.tell(Progress{Input: input.Name})
	b, err := newBay(ctx, r.Dir, input)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var rounds [][]Sample
	for err == nil && len(rounds) < r.Runs {
		var round []Sample
		if round, err = r.round(ctx, b, Progress{Input: input.Name, Run: len(rounds) + 1}); err == nil {
			rounds = append(rounds, round)
		}
	}
	if len(rounds) > 0 {
		r.add(input, b, rounds)
	}
	return err
}

// round measures each candidate once.
func (r *runner) round(ctx context.Context, b *bay, p Progress) ([]Sample, error) {
	var samples []Sample
	for _, c := range r.candidates {
		p.Codec, p.Workers = c.codec.String(), c.workers
		r.tell(p)
		sample, err := b.measure(ctx, c, r.Child)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.label(), err)
		}
		samples = append(samples, sample)
		r.done++
	}
	return samples, nil
}

// add puts what was measured on an input into the report.
func (r *runner) add(input Input, b *bay, rounds [][]Sample) {
	r.report.Inputs = append(r.report.Inputs, InputInfo{
		Name: input.Name, Corpus: input.Corpus, Seed: input.Seed, Size: b.size, Digest: b.digest,
	})
	for i, c := range r.candidates {
		result := Result{
			Input: input.Name, Codec: c.codec.String(), Workers: c.workers, Parallel: c.engine.parallel(), Version: c.version,
		}
		for _, round := range rounds {
			result.Samples = append(result.Samples, round[i])
		}
		r.report.Results = append(r.report.Results, result)
	}
	r.report.summarize()
}
