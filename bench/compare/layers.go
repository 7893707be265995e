package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/lbuild/lbuild/bench/compare/internal/image"
	"github.com/lbuild/lbuild/bench/compare/internal/packer"
	"github.com/lbuild/lbuild/bench/compare/internal/result"
	"github.com/lbuild/lbuild/bench/compare/internal/workload"
	"github.com/lbuild/lbuild/diff/verify"
	"golang.org/x/sys/unix"
)

// layers measures all wanted workloads of libraries.
func (o options) layers(ctx context.Context) error {
	for _, u := range workload.Uppers() {
		if !o.wants(u.Name) {
			continue
		}
		if err := o.layer(ctx, u); err != nil {
			return fmt.Errorf("%s: %w", u.Name, err)
		}
	}
	return nil
}

// layer measures one of them.
func (o options) layer(ctx context.Context, u workload.Upper) (err error) {
	base, err := o.base(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(o.work, u.Name)
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rootfs := filepath.Join(dir, "base")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return err
	}
	progress("%s: making the directories", u.Name)
	if err := base.Unpack(ctx, rootfs); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(o.work, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	dirs, err := o.scaledUpper(u).Make(ctx, dir, rootfs, log)
	if err != nil {
		return err
	}
	return o.pack(ctx, u, dir, dirs)
}

func (o options) scaledUpper(u workload.Upper) workload.Upper {
	if o.tiny {
		return u.Tiny()
	}
	return u
}

// pack mounts the directories for those libraries that read mounts, and lets all of them pack.
func (o options) pack(ctx context.Context, u workload.Upper, dir string, dirs workload.Dirs) (err error) {
	q := packer.Request{Dirs: dirs, Merged: filepath.Join(dir, "merged"), Below: filepath.Join(dir, "below"), Blob: filepath.Join(dir, "blob")}
	for at, lower := range map[string][]string{q.Merged: append([]string{dirs.Upper}, dirs.Lower...), q.Below: dirs.Lower} {
		if err := mountReadOnly(at, lower); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unix.Unmount(at, 0)) }()
	}
	set, err := o.set(ctx, u.Name, u.Title)
	if err != nil {
		return err
	}
	set.Layer = true
	if err := o.rounds(ctx, &set, q); err != nil {
		return err
	}
	return set.Save(o.out)
}

func mountReadOnly(at string, dirs []string) error {
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	if len(dirs) == 1 {
		if err := unix.Mount(dirs[0], at, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return errors.Join(err, unix.Unmount(at, 0))
		}
		return nil
	}
	return unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(dirs, ":"))
}

// rounds lets all packers pack in turn, the first round of which only warms the page cache and checks the layers.
func (o options) rounds(ctx context.Context, set *result.Set, q packer.Request) error {
	packers := o.packers()
	for _, p := range packers {
		set.Contenders = append(set.Contenders, p.Name)
		set.How[p.Name], set.Versions[p.Name] = p.How, version(p.Module)
	}
	for round := range o.runs + 1 {
		for i := range packers {
			p := packers[(i+round)%len(packers)]
			q.Packer, q.Profile = p.Name, o.profileOf(set.Workload, p, round)
			r, err := packer.Run(ctx, q)
			if err != nil {
				return err
			}
			progress("%s %d: %s %.2fs, %.2fs CPU, %d bytes", set.Workload, round, p.Name, r.Wall.Seconds(), r.CPU.Seconds(), r.Size)
			if p.Name == packers[0].Name {
				q.Bytes = r.Plain
			}
			if round == 0 {
				if err := check(ctx, set, p, q); err != nil {
					return err
				}
				continue
			}
			set.Runs = append(set.Runs, result.Run{
				Contender: p.Name, Round: round, Wall: r.Wall.Seconds(), CPU: r.CPU.Seconds(), Memory: r.Memory, Size: r.Size, Plain: r.Plain,
			})
		}
	}
	return nil
}

// profileOf is the file for a profile, which is taken in the round that does not count.
func (o options) profileOf(workload string, p packer.Packer, round int) string {
	if o.profile == "" || round > 0 {
		return ""
	}
	return filepath.Join(o.profile, workload+"-"+strings.ReplaceAll(p.Name, " ", "-")+".pprof")
}

func (o options) packers() (chosen []packer.Packer) {
	for _, p := range packer.All() {
		if p.Probe() || p.Owner() == "lbuild" || o.compares(p.Owner()) {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// check unpacks a layer over what it was made on, and compares the tree with what was mounted. A wrong layer is a finding
// about its packer, not an error.
func check(ctx context.Context, set *result.Set, p packer.Packer, q packer.Request) error {
	if p.Probe() {
		return nil
	}
	f, err := os.Open(q.Blob)
	if err != nil {
		return err
	}
	defer f.Close()
	c := result.Check{Contender: p.Name, Same: true}
	if err := verify.Layer(ctx, f, verify.Options{Upper: q.Dirs.Upper, Lower: q.Dirs.Lower, Scratch: filepath.Dir(q.Blob)}); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.Same, c.Differences = false, []string{err.Error()}
	}
	set.Checks = append(set.Checks, c)
	return nil
}

// version is that of a module in this program.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == module && dep.Replace == nil {
			return dep.Version
		}
	}
	if strings.Contains(module, ".") {
		return "of this commit"
	}
	return info.GoVersion
}

// base makes the base that everything is built on, once.
func (o options) base(ctx context.Context) (image.Image, error) {
	log, err := os.Create(filepath.Join(o.work, "base.log"))
	if err != nil {
		return image.Image{}, err
	}
	defer log.Close()
	progress("the base, see %s", log.Name())
	return workload.MakeBase(ctx, filepath.Join(o.work, "base"), o.lbuild, log)
}
