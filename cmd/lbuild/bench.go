package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lbuild/lbuild/bench"
	"github.com/lbuild/lbuild/bench/chart"
	"github.com/lbuild/lbuild/bench/corpus"
)

const benchLong = `Compress something with many codecs, levels and numbers of workers, and
compare what it takes: time, CPU, memory, size, and decompression.

What is compressed is a corpus made from a seed, the same bytes everywhere, or
your own: a directory, a tar (also in gzip or zstd), an image or a layer of the
store. Every result is decompressed and compared with what went in. The table
goes to stdout, and below it which codec to take for a goal or a network.

Codecs: none (copies), std/gzip (Go's standard library, what BuildKit and
containerd pack with), klauspost/gzip, klauspost/zstd, pgzip, lbuild/gzip and
lbuild/zstd (what builds use), and the programs program/pigz, program/igzip and
program/zstd where they are installed.`

const benchExample = `  lbuild bench                                                    the mixed corpus, all that is installed
  lbuild bench --codecs lbuild/gzip:1-9,std/gzip:6 /usr/lib       your own files, nine levels against one
  lbuild bench --image app:1.0 --link 100mbit                     what gets an image through a network first
  lbuild bench --corpus all --runs 5 --json b.json --plots out    charts and raw figures of each kind of file`

// benchFlags are the flags of bench as they were typed.
type benchFlags struct {
	corpora          []string
	size             string
	seed             uint64
	ofCorpus         bool // the size or the seed was given
	images, layers   []string
	codecs           []string
	workers          []int
	runs             int
	baseline         string
	json, csv, plots string
	goal, link       string
}

func newBenchCommand(a *app) *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:     "bench [flags] [DIR|FILE…]",
		Short:   "Compare codecs on a corpus, a directory, a tar or an image",
		Long:    benchLong,
		Example: benchExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.ofCorpus = cmd.Flags().Changed("size") || cmd.Flags().Changed("seed")
			b, err := f.parse(args)
			if err != nil {
				return usage(cmd, err)
			}
			return a.bench(cmd.Context(), b)
		},
	}
	f.register(cmd.Flags())
	completeValues(cmd, "corpus", append(corpus.Names(), allCorpora)...)
	completeValues(cmd, "codecs", bench.Names()...)
	completeValues(cmd, "baseline", bench.Names()...)
	completeValues(cmd, "goal", goalNames()...)
	if err := cmd.RegisterFlagCompletionFunc("image", a.completeImages(-1)); err != nil {
		panic(err)
	}
	return cmd
}

func (f *benchFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	group(flags, "What to compress, besides directories and files", func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&f.corpora, "corpus", nil, "`names` of seeded corpora: text, binaries, node, media, sparse, mixed or all (default mixed if nothing else is named)")
		flags.StringVar(&f.size, "size", "64MB", "about how large each corpus is, in `bytes` or with kB, MB (10^6 bytes), GB")
		flags.Uint64Var(&f.seed, "seed", 0, "`number` that a corpus is made from")
		flags.StringArrayVar(&f.images, "image", nil, "`image` of the store: its layers, one behind the other; repeatable")
		flags.StringArrayVar(&f.layers, "layer", nil, "`digest` of a layer's blob in the store; repeatable")
	})
	group(flags, "How", func(flags *pflag.FlagSet) {
		flags.StringSliceVar(&f.codecs, "codecs", nil, "`list` of NAME, NAME:LEVEL or NAME:FIRST-LAST (default a choice of all that are installed)")
		flags.IntSliceVar(&f.workers, "workers", nil, "`numbers` of workers, for the codecs that can use several (default 1, 2, 4 … and all cores)")
		flags.IntVar(&f.runs, "runs", 3, "`times` that each is measured, in turn with the others")
		flags.StringVar(&f.baseline, "baseline", bench.StdGzip, "`codec` that the others are compared with, as NAME[:LEVEL][@WORKERS]")
	})
	group(flags, "What to make of it", func(flags *pflag.FlagSet) {
		flags.StringVar(&f.json, "json", "", "`file` that gets all figures, with every run")
		flags.StringVar(&f.csv, "csv", "", "`file` that gets a line for every run")
		flags.StringVar(&f.plots, "plots", "", "`directory` that gets charts, as SVG and PNG")
		flags.StringVar(&f.goal, "goal", "", "recommend for a `goal`: smallest, fastest or balanced (default balanced, without --link)")
		flags.StringVar(&f.link, "link", "", "recommend what is through a network of this `speed` first, as in 100mbit; kbit, mbit or gbit")
	})
}

// benchmark is a bench command that was understood.
type benchmark struct {
	opts             bench.Options
	images, layers   []string
	json, csv, plots string
	goals            []bench.Goal
	links            []bench.Link
}

const allCorpora = "all"

func goalNames() []string {
	var names []string
	for _, g := range bench.Goals() {
		names = append(names, string(g))
	}
	return names
}

// parse makes sense of the flags. Its errors are usage errors.
func (f *benchFlags) parse(paths []string) (*benchmark, error) {
	b := &benchmark{images: f.images, layers: f.layers, json: f.json, csv: f.csv, plots: f.plots}
	b.opts = bench.Options{Workers: f.workers, Runs: f.runs, Baseline: f.baseline, Version: benchVersion()}
	if f.runs < 1 {
		return nil, fmt.Errorf("--runs %d: want 1 or more", f.runs)
	}
	if slices.ContainsFunc(f.workers, func(n int) bool { return n < 1 }) {
		return nil, errors.New("--workers: want 1 or more")
	}
	for _, list := range f.codecs {
		codecs, err := bench.ParseCodecs(list)
		if err != nil {
			return nil, fmt.Errorf("--codecs: %w", err)
		}
		b.opts.Codecs = append(b.opts.Codecs, codecs...)
	}
	if err := bench.CheckBaseline(f.baseline); err != nil {
		return nil, fmt.Errorf("--baseline: %w", err)
	}
	return b, errors.Join(b.addInputs(f, paths), b.addGoals(f), b.checkOutputs())
}

func (b *benchmark) addGoals(f *benchFlags) error {
	if f.goal == "" && f.link == "" {
		f.goal = string(bench.Balanced)
	}
	if f.goal != "" {
		goal, err := bench.ParseGoal(f.goal)
		if err != nil {
			return fmt.Errorf("--goal: %w", err)
		}
		b.goals = append(b.goals, goal)
	}
	if f.link != "" {
		link, err := bench.ParseLink(f.link)
		if err != nil {
			return fmt.Errorf("--link: %w", err)
		}
		b.links = append(b.links, link)
	}
	return nil
}

// bench measures, and writes what was asked for, also of a benchmark that failed late.
func (a *app) bench(ctx context.Context, b *benchmark) error {
	a.setLogging()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.opts.Child = []string{self, benchPassName}
	report, err := a.measure(ctx, b)
	if report == nil {
		return err
	}
	written := errors.Join(report.WriteTable(a.stdout), b.writeFiles(a, report))
	if err != nil && written != nil {
		fmt.Fprintln(a.stderr, "error:", harmless(written.Error())) // after a signal nothing else tells
		return err
	}
	if err := cmp.Or(err, written); err != nil {
		return err // and no recommendation: what is best may be among what is missing
	}
	return a.recommend(b, report)
}

// writeFiles writes what it can, whatever fails.
func (b *benchmark) writeFiles(a *app, report *bench.Report) error {
	var errs []error
	if b.json != "" {
		errs = append(errs, writeWhole(b.json, report.WriteJSON))
	}
	if b.csv != "" {
		errs = append(errs, writeWhole(b.csv, report.WriteCSV))
	}
	if b.plots != "" {
		files, err := chart.Write(b.plots, report)
		for _, file := range files {
			fmt.Fprintln(a.stderr, "wrote", file)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// recommend ends the output with what to take.
func (a *app) recommend(b *benchmark, report *bench.Report) error {
	var choices []bench.Choice
	for _, goal := range b.goals {
		choices = append(choices, report.Recommend(goal)...)
	}
	for _, link := range b.links {
		choices = append(choices, report.RecommendLink(link)...)
	}
	if len(choices) == 0 {
		_, err := fmt.Fprintln(a.stdout, "\nNothing that was measured is fit for what is asked for.")
		return err
	}
	for i, c := range choices {
		if i == 0 {
			fmt.Fprintln(a.stdout, "\nTake:")
		}
		if _, err := fmt.Fprintln(a.stdout, " ", c); err != nil {
			return err
		}
	}
	return nil
}

// benchVersion is the version and the commit that figures belong to.
func benchVersion() string {
	v := buildVersion()
	switch {
	case v.Commit == "":
		return v.Version
	case v.Modified:
		return v.Version + " " + v.Commit + " with changes"
	}
	return v.Version + " " + v.Commit
}
