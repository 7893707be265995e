package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/lbuild/lbuild/bench/corpus"
)

const defaultRuns = 3

// DefaultWorkers are 1, 2, 4 and so on, and the number of usable cores.
func DefaultWorkers() []int {
	cores := runtime.GOMAXPROCS(0)
	var list []int
	for n := 1; n < cores; n *= 2 {
		list = append(list, n)
	}
	return append(list, cores)
}

// plan is Options with nothing left to default.
type plan struct {
	Options
	candidates []candidate
	baseline   candidate // one of them
	missing    []string  // programs that the default leaves out
}

// candidate is what has a line in the table.
type candidate struct {
	codec   Codec
	engine  engine
	workers int
	version string
}

// label is the codec, and the number of workers where there is a choice.
func (c candidate) label() string { return labelOf(c.codec.String(), c.workers, c.engine.parallel()) }

func labelOf(codec string, workers int, parallel bool) string {
	if !parallel {
		return codec
	}
	return codec + "@" + strconv.Itoa(workers)
}

func newPlan(ctx context.Context, opts Options) (*plan, error) {
	p := &plan{Options: opts}
	if err := p.defaults(); err != nil {
		return nil, err
	}
	var errs []error
	for _, c := range p.Codecs {
		errs = append(errs, p.add(c, p.Workers))
	}
	errs = append(errs, p.setBaseline())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, c := range p.candidates {
		p.candidates[i].version = c.engine.version
		if c.engine.program != nil {
			p.candidates[i].version = c.engine.program.version(ctx)
		}
	}
	return p, nil
}

func (p *plan) defaults() error {
	if len(p.Inputs) == 0 {
		mixed, err := Corpus(corpus.Spec{})
		if err != nil {
			return err
		}
		p.Inputs = []Input{mixed}
	}
	names := map[string]bool{}
	for _, in := range p.Inputs {
		if names[in.Name] {
			return fmt.Errorf("two inputs have the name %q", in.Name)
		}
		names[in.Name] = true
	}
	if len(p.Codecs) == 0 {
		p.Codecs, p.missing = DefaultCodecs()
	}
	if len(p.Workers) == 0 {
		p.Workers = DefaultWorkers()
	}
	p.Workers = slices.Compact(slices.Sorted(slices.Values(p.Workers)))
	if p.Workers[0] < 1 {
		return fmt.Errorf("the number of workers is %d", p.Workers[0])
	}
	if p.Runs <= 0 {
		p.Runs = defaultRuns
	}
	if p.Baseline == "" {
		p.Baseline = StdGzip
	}
	return nil
}

// add pairs c with those numbers of workers that make a difference to it. What is there already is not added again.
func (p *plan) add(c Codec, workers []int) error {
	e, err := c.engine()
	if err == nil && e.program != nil {
		err = e.program.installed()
	}
	if err != nil {
		return err
	}
	if !e.parallel() {
		workers = []int{1}
	}
	for _, n := range workers {
		added := candidate{codec: c, engine: e, workers: n}
		if p.find(c.String(), n) < 0 {
			p.candidates = append(p.candidates, added)
		}
	}
	return nil
}

// find gives the index of a candidate or -1. Workers 0 are any.
func (p *plan) find(codec string, workers int) int {
	return slices.IndexFunc(p.candidates, func(c candidate) bool {
		return c.codec.String() == codec && (workers == 0 || workers == c.workers)
	})
}

// setBaseline finds the baseline among the candidates, or makes it one.
func (p *plan) setBaseline() error {
	name, workers, err := splitWorkers(p.Baseline)
	if err != nil {
		return err
	}
	c, err := p.codecNamed(name)
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	if p.find(c.String(), workers) < 0 {
		if err := p.add(c, []int{cmp.Or(workers, p.Workers[0])}); err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
	}
	i := p.find(c.String(), workers)
	if i < 0 {
		return fmt.Errorf("baseline %q: this codec has one worker", p.Baseline)
	}
	p.baseline = p.candidates[i]
	return nil
}

// codecNamed is the codec of a candidate, which may be a custom one, or any other that this package knows.
func (p *plan) codecNamed(name string) (Codec, error) {
	if i := p.find(name, 0); i >= 0 {
		return p.candidates[i].codec, nil
	}
	return parseOne(name)
}

func parseOne(name string) (Codec, error) {
	codecs, err := ParseCodecs(name)
	if err != nil {
		return Codec{}, err
	}
	if len(codecs) != 1 {
		return Codec{}, fmt.Errorf("%q is more than one codec", name)
	}
	return codecs[0], nil
}

// CheckBaseline returns an error if text is not CODEC[:LEVEL][@WORKERS] with a codec that this package knows.
func CheckBaseline(text string) error {
	name, _, err := splitWorkers(text)
	if err != nil {
		return err
	}
	_, err = parseOne(name)
	return err
}

// splitWorkers cuts off the number of workers, 0 where there is none.
func splitWorkers(text string) (codec string, workers int, _ error) {
	codec, count, found := strings.Cut(text, "@")
	if !found {
		return codec, 0, nil
	}
	workers, err := strconv.Atoi(count)
	if err != nil || workers < 1 {
		return "", 0, fmt.Errorf("%q: %q is not a number of workers", text, count)
	}
	return codec, workers, nil
}
