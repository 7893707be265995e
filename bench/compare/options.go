package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lbuild/lbuild/bench/compare/internal/builder"
	"github.com/lbuild/lbuild/bench/compare/internal/packer"
	"github.com/lbuild/lbuild/bench/compare/internal/result"
	"github.com/lbuild/lbuild/bench/compare/internal/workload"
)

// options are what was asked for.
type options struct {
	workloads, against []string // nil for all
	runs               int
	out, work          string
	lbuild, runc       string
	before             string // path of an earlier lbuild; "" for none
	profile            string
	tiny               bool
	args               []string // as they were typed
}

const (
	defaultRuns = 5
	defaultOut  = "../results/compare"
)

func parse(args []string) (options, error) {
	o := options{args: args}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	workloads := f.String("workloads", "", "`names` of what to measure, with commas between (default all: "+strings.Join(names(), ",")+")")
	against := f.String("against", "", "`names` of whom to compare with (default all that are here): "+strings.Join(peers(), ","))
	f.IntVar(&o.runs, "runs", defaultRuns, "`number` of measurements of each, taken in turn")
	f.StringVar(&o.out, "out", defaultOut, "`directory` for the results, a file for each workload")
	f.StringVar(&o.work, "work", "", "`directory` for all else, up to 15 GB; the base stays in it for the next time (default a new one, which is removed)")
	f.StringVar(&o.lbuild, "lbuild", "../../bin/lbuild", "`path` of lbuild")
	f.StringVar(&o.before, "before", "", "`path` of an earlier lbuild, which takes part in builds as \"before\", alone with --against before; its runc lies beside it or on PATH")
	f.StringVar(&o.runc, "runc", "../../bin/runc", "`path` of the runc that all builders use")
	f.StringVar(&o.profile, "profile", "", "`directory` for CPU profiles of libraries")
	f.BoolVar(&o.tiny, "tiny", false, "hundredth part of the files, to try the harness")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.workloads, o.against = split(*workloads), split(*against)
	for _, w := range o.workloads {
		if !slices.Contains(names(), w) {
			return o, fmt.Errorf("no workload is named %q", w)
		}
	}
	for _, a := range o.against {
		if !slices.Contains(peers(), a) && (a != "before" || o.before == "") {
			return o, fmt.Errorf("nobody is named %q: there are %s", a, strings.Join(peers(), ", "))
		}
	}
	if f.NArg() > 0 || o.runs < 1 {
		return o, errors.New("usage: compare [flags], or compare page RESULTS PAGE")
	}
	if o.tiny && o.out == defaultOut {
		return o, errors.New("--tiny needs an --out of its own: it would replace the results of whole workloads")
	}
	return o, o.findBefore()
}

// findBefore makes the path of the earlier lbuild absolute, and looks whether it and its runc are there.
func (o *options) findBefore() (err error) {
	if o.before == "" {
		return nil
	}
	if o.before, err = filepath.Abs(o.before); err == nil {
		_, err = exec.LookPath(o.before)
	}
	if err != nil {
		return fmt.Errorf("--before: %w", err)
	}
	if _, err := exec.LookPath(filepath.Join(filepath.Dir(o.before), "runc")); err == nil {
		return nil
	}
	if _, err := exec.LookPath("runc"); err != nil {
		return fmt.Errorf("--before %s: no runc beside it: %w", o.before, err)
	}
	return nil
}

// split is nil for a list without names.
func split(list string) []string {
	if names := strings.FieldsFunc(list, func(r rune) bool { return r == ',' }); len(names) > 0 {
		return names
	}
	return nil
}

// names are those of all workloads.
func names() (all []string) {
	for _, b := range workload.Builds() {
		for _, p := range b.Phases {
			all = append(all, p.Name)
		}
	}
	for _, u := range workload.Uppers() {
		all = append(all, u.Name)
	}
	return all
}

// peers are the names of builders and libraries that lbuild can be compared with.
func peers() (all []string) {
	for _, b := range builder.All()[1:] {
		if !b.Probe {
			all = append(all, b.Name)
		}
	}
	for _, p := range packer.All() {
		if owner := p.Owner(); owner != "lbuild" && !p.Probe() && !slices.Contains(all, owner) {
			all = append(all, owner)
		}
	}
	return all
}

func (o options) wants(workload string) bool {
	return o.workloads == nil || slices.Contains(o.workloads, workload)
}

// compares tells whether a contender takes part. lbuild always does, and what only bounds it.
func (o options) compares(contender string) bool {
	return o.against == nil || slices.Contains(o.against, contender)
}

// measure measures all that is wanted, and saves each workload when it is done.
func (o options) measure(ctx context.Context) (err error) {
	if os.Getuid() != 0 {
		return errors.New("only root can mount overlays")
	}
	if o.work == "" {
		if o.work, err = os.MkdirTemp("/var/tmp", "lbuild-compare-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.work)) }()
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return err
		}
	}
	for _, path := range []*string{&o.lbuild, &o.runc, &o.work} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if err := o.builds(ctx); err != nil {
		return err
	}
	return o.layers(ctx)
}

// set starts the record of a workload.
func (o options) set(ctx context.Context, name, title string) (result.Set, error) {
	machine, err := here(o.work)
	if err != nil {
		return result.Set{}, err
	}
	return result.Set{
		Workload: name, Title: title, Taken: time.Now().UTC().Truncate(time.Second), Machine: machine,
		Command: strings.Join(append([]string{"compare"}, o.args...), " "), Commit: commit(ctx),
		Versions: map[string]string{}, How: map[string]string{},
	}, nil
}

// commit is that of this repository, with a mark where files differ from it, other than results and the page of them.
func commit(ctx context.Context) string {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	id, err := git("rev-parse", "--short=12", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)bench/results", ":(exclude,top)docs"); err != nil || changed != "" {
		id += "-dirty"
	}
	return id
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
