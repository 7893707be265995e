package workload

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lbuild/lbuild/bench/compare/internal/image"
	"github.com/lbuild/lbuild/bench/compare/internal/measure"
)

//go:embed base.sh
var baseScript string

// MakeBase makes a minimal Debian as an OCI layout in dir, or takes the one that is there. It needs debootstrap, root, and
// the first time a Debian mirror; lbuild packs it.
func MakeBase(ctx context.Context, dir, lbuild string, log *os.File) (image.Image, error) {
	layout := filepath.Join(dir, "layout")
	if i, err := image.Open(layout); err == nil {
		return i, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return image.Image{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, "rootfs.tar")); err != nil {
		if err := run(ctx, log, "bash", "-c", baseScript, "base.sh", dir); err != nil {
			return image.Image{}, fmt.Errorf("make a Debian: %w", err)
		}
	}
	if err := pack(ctx, dir, layout, lbuild, log); err != nil {
		return image.Image{}, fmt.Errorf("pack the base: %w", err)
	}
	return image.Open(layout)
}

func pack(ctx context.Context, dir, layout, lbuild string, log *os.File) (err error) {
	file := filepath.Join(dir, "Buildfile")
	if err := os.WriteFile(file, []byte("FROM scratch\nADD rootfs.tar /\nCMD [\"bash\"]\n"), 0o600); err != nil {
		return err
	}
	store := filepath.Join(dir, "store")
	defer func() { err = errors.Join(err, os.RemoveAll(store)) }()
	return run(ctx, log, lbuild, "--root", store, "build", "-t", Base, "-f", file,
		"-o", "type=oci,tar=false,dest="+layout, dir)
}

// run runs a program, and ends all that it started.
func run(ctx context.Context, log *os.File, name string, args ...string) (err error) {
	scope, err := measure.NewScope("prepare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scope.Close()) }()
	cmd := scope.Command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, measure.Said(log))
	}
	return nil
}
