package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/lbuild/lbuild/bench/compare/internal/builder"
	"github.com/lbuild/lbuild/bench/compare/internal/image"
	"github.com/lbuild/lbuild/bench/compare/internal/measure"
	"github.com/lbuild/lbuild/bench/compare/internal/result"
	"github.com/lbuild/lbuild/bench/compare/internal/workload"
	"golang.org/x/sys/unix"
)

// builds measures all wanted workloads of builders.
func (o options) builds(ctx context.Context) error {
	for _, b := range workload.Builds() {
		if !slices.ContainsFunc(b.Phases, func(p workload.Phase) bool { return o.wants(p.Name) }) {
			continue
		}
		if o.tiny {
			b = b.Tiny()
		}
		if err := o.build(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", b.Phases[0].Name, err)
		}
	}
	return nil
}

// contest is one workload and those who build it.
type contest struct {
	options
	workload.Build
	builders []builder.Builder
	base     image.Image
	log      *os.File
	dir      string
	sets     []result.Set    // one for each phase
	failed   map[string]bool // builders
}

// build measures one workload.
func (o options) build(ctx context.Context, b workload.Build) (err error) {
	base, err := o.base(ctx)
	if err != nil {
		return err
	}
	c := &contest{options: o, Build: b, base: base, builders: o.builders(ctx), dir: filepath.Join(o.work, "builds"), failed: map[string]bool{}}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if c.log, err = os.Create(filepath.Join(o.work, "log")); err != nil {
		return err
	}
	defer c.log.Close()
	for round := range o.runs {
		for i := range c.builders {
			b := c.builders[(i+round)%len(c.builders)]
			if err := c.turn(ctx, b, round); err != nil && (ctx.Err() != nil || b.Name == "lbuild") {
				return err
			} else if err != nil {
				c.fail(b, err)
			}
		}
	}
	return c.save()
}

// fail notes that another builder cannot build this workload, and lets it try no more.
func (c *contest) fail(b builder.Builder, err error) {
	progress("%s goes on without %s: %v", c.Phases[0].Name, b.Name, err)
	c.failed[b.Name] = true
	for i := range c.sets {
		if b.Can(c.sets[i].Workload) {
			c.sets[i].Checks = append(c.sets[i].Checks, result.Check{Contender: b.Name, Differences: []string{err.Error()}})
		}
	}
}

// builders are lbuild, itself of before, and all others that are here, or of those that were asked for.
func (o options) builders(ctx context.Context) (chosen []builder.Builder) {
	all := builder.All()
	if o.before != "" {
		all = slices.Insert(all, 1, builder.Before(o.before))
	}
	for _, b := range all {
		if b.Name != "lbuild" && b.Name != "before" && !b.Probe && !o.compares(b.Name) {
			continue
		}
		if missing := b.Missing(ctx); missing != nil {
			progress("without %s: %v", b.Name, missing)
			continue
		}
		chosen = append(chosen, b)
	}
	return chosen
}

// prepare writes the context and the Buildfiles, and starts the records.
func (c *contest) prepare(ctx context.Context) error {
	progress("%s: writing the context", c.Phases[0].Name)
	if err := c.Write(c.path("context")); err != nil {
		return err
	}
	for name, text := range map[string]string{"Buildfile": c.Buildfile, "Prime": workload.Prime()} {
		if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.path("empty"), 0o755); err != nil {
		return err
	}
	for _, p := range c.Phases {
		set, err := c.set(ctx, p.Name, p.Title)
		if err != nil {
			return err
		}
		for _, b := range c.builders {
			if !b.Can(p.Name) {
				continue
			}
			set.Contenders = append(set.Contenders, b.Name)
			set.How[b.Name] = b.How
			if set.Versions[b.Name], err = b.Version(ctx, c.lbuild, c.runc); err != nil {
				return err
			}
		}
		c.sets = append(c.sets, set)
	}
	return nil
}

func (c *contest) path(name string) string { return filepath.Join(c.dir, name) }

// turn lets one builder build all phases, in a fresh root.
func (c *contest) turn(ctx context.Context, b builder.Builder, round int) (err error) {
	if !b.Can(c.Phases[0].Name) || c.failed[b.Name] {
		return nil
	}
	scope, err := measure.NewScope("compare")
	if err != nil {
		return err
	}
	dir := c.path("root")
	defer func() { err = errors.Join(err, scope.Close(), os.RemoveAll(dir)) }()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	root, err := b.Open(ctx, builder.Site{
		Dir: dir, Scope: scope, Base: c.base, BaseName: workload.Base, Prime: c.path("Prime"), Context: c.path("empty"),
		Buildfile: c.path("Buildfile"), LBuild: c.lbuild, Runc: c.runc, Log: c.log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close(context.WithoutCancel(ctx))) }()
	for i := range c.Phases {
		if !b.Can(c.Phases[i].Name) {
			continue
		}
		if err := c.phase(ctx, session{b, root, scope, round}, i); err != nil {
			return fmt.Errorf("%s, %s: %w", c.Phases[i].Name, b.Name, err)
		}
	}
	return nil
}

// session is one builder in one round.
type session struct {
	builder.Builder
	root  builder.Root
	scope *measure.Scope
	round int
}

// phase measures one build.
func (c *contest) phase(ctx context.Context, s session, i int) (err error) {
	p, set := c.Phases[i], &c.sets[i]
	if p.Change != nil {
		undo, changeErr := p.Change(c.path("context"))
		if changeErr != nil {
			return changeErr
		}
		defer func() { err = errors.Join(err, undo()) }()
	}
	// What was written before is not to be written on this build's time.
	unix.Sync()
	job := builder.Job{Context: c.path("context"), Buildfile: c.path("Buildfile"), Out: c.path("out")}
	defer func() { err = errors.Join(err, os.RemoveAll(job.Out)) }()
	usage, err := s.scope.Time(func() error { return s.root.Build(ctx, job) })
	if err != nil {
		return err
	}
	var built image.Image
	if !s.Probe {
		if built, err = image.Open(job.Out); err != nil {
			return err
		}
	}
	layers, size := built.Above(c.base)
	progress("%s %d: %s %.2fs, %.2fs CPU, %d bytes in %d layers", p.Name, s.round, s.Name,
		usage.Wall.Seconds(), usage.CPU.Seconds(), size, layers)
	set.Runs = append(set.Runs, result.Run{
		Contender: s.Name, Round: s.round, Wall: usage.Wall.Seconds(), CPU: usage.CPU.Seconds(), Size: size, Layers: layers,
	})
	if s.round > 0 || s.Probe {
		return nil
	}
	return c.compare(ctx, s.Builder, set, built)
}

// compare unpacks what was built in the first round beside what the first builder made of the same.
func (c *contest) compare(ctx context.Context, b builder.Builder, set *result.Set, built image.Image) (err error) {
	first := c.path("tree-" + set.Workload)
	dir := first
	if b.Name != set.Contenders[0] {
		dir = c.path("other")
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := built.Unpack(ctx, dir); err != nil {
		return fmt.Errorf("unpack what %s built: %w", b.Name, err)
	}
	check := result.Check{Contender: b.Name, Same: true, Ignored: c.Ignored}
	if dir != first {
		if check.Differences, err = image.Different(ctx, first, dir, c.Ignored); err != nil {
			return err
		}
		check.Same = len(check.Differences) == 0
		progress("%s: %s and %s differ in %q", set.Workload, set.Contenders[0], b.Name, check.Differences)
	}
	set.Checks = append(set.Checks, check)
	return nil
}

func (c *contest) save() error {
	for _, s := range c.sets {
		if !c.wants(s.Workload) {
			continue
		}
		if r := s.Ratio("lbuild", "before", result.Wall); r > 0 {
			progress("%s: %.3f of the time of before, %.3f of its CPU time", s.Workload, r, s.Ratio("lbuild", "before", result.CPU))
		}
		if err := s.Save(c.out); err != nil {
			return err
		}
	}
	return nil
}
