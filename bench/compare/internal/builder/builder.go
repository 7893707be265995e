// Package builder drives the programs that build images, all in the same way.
package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lbuild/lbuild/bench/compare/internal/image"
	"github.com/lbuild/lbuild/bench/compare/internal/measure"
)

// Root is a builder with a directory of its own for all that it keeps, and the base in it.
type Root interface {
	// Build builds an image into a new OCI layout. This is what is measured.
	Build(ctx context.Context, job Job) error
	// Close ends what runs and unmounts what is mounted. The site's directory can be removed then.
	Close(ctx context.Context) error
}

// Job is one image to build.
type Job struct {
	// Context is the directory that COPY reads, and Buildfile the path of a file.
	Context, Buildfile string
	// Out is the directory of the OCI layout. It does not exist.
	Out string
}

// Site is where a builder works.
type Site struct {
	// Dir is an empty directory.
	Dir string
	// Scope holds all that the builder starts.
	Scope *measure.Scope
	// Base is the base that Buildfiles name BaseName.
	Base     image.Image
	BaseName string
	// Prime is a Buildfile that makes the builder import and unpack the base, and Context a directory for it.
	Prime, Context string
	// Buildfile is the one that will be measured.
	Buildfile string
	// LBuild and Runc are the programs of this repository.
	LBuild, Runc string
	// Log is a file that takes what the builder prints.
	Log *os.File
}

// Builder is one way of one program.
type Builder struct {
	// Name is that in results.
	Name string
	// How tells what is called.
	How string
	// programs are looked up on PATH, unless they are lbuild's.
	programs []string
	// program is the path of one that is neither on PATH nor lbuild's.
	program string
	// version are arguments of the first program that make it print its version.
	version []string
	open    func(context.Context, Site) (Root, error)
	cannot  []string // workloads
	// Probe tells that no image comes out: it does a part of the work, as a bound.
	Probe bool
}

// All are the builders that can be compared, lbuild first.
func All() []Builder {
	return []Builder{
		{
			Name: "lbuild", How: "`lbuild build`, default gzip", open: openLBuild,
			version: []string{"version"},
		},
		{
			Name: "buildkit", How: "`buildctl build` with a daemon that runs already, OCI worker on overlayfs; the daemon's CPU time counts",
			programs: []string{"buildkitd", "buildctl"}, version: []string{"--version"}, open: openBuildKit,
		},
		{
			Name: "buildah", How: "`buildah build` on overlay, committing once and straight to the OCI layout: one layer for all steps, no cache",
			programs: []string{"buildah"}, version: []string{"--version"}, open: openBuildah(false),
		},
		{
			Name: "buildah-layers", How: "`buildah build --layers` on overlay: a layer for each step, with its cache",
			programs: []string{"buildah"}, version: []string{"--version"}, open: openBuildah(true),
		},
		{
			Name: "umoci", How: "`umoci repack` of a bundle with the unpacked base, after `cp` of the files; it has no cache",
			programs: []string{"umoci"}, version: []string{"--version"}, open: openUmoci,
			cannot: []string{"again", "changed", "apt", "steps", "parallel"},
		},
		{
			Name: "runc", How: "the containers of the RUN steps alone, one after the other in one directory, with the mounts and the system call filter that builders give them", Probe: true,
			version: []string{"--version"}, open: openRunc,
			cannot: []string{"small", "large", "again", "changed", "apt", "parallel"},
		},
		{
			Name: "docker", How: "`docker buildx build`; the CPU time of its daemon is not counted",
			programs: []string{"docker"}, version: []string{"version", "--format", "{{.Server.Version}}"}, open: openDocker,
		},
	}
}

// Missing tells what the builder lacks here, or nil.
func (b Builder) Missing(ctx context.Context) error {
	if b.Probe {
		return nil
	}
	for _, p := range b.programs {
		if _, err := exec.LookPath(p); err != nil {
			return err
		}
	}
	if b.Name == "docker" {
		_, err := b.Version(ctx, "", "")
		return err
	}
	return nil
}

// Can tells whether the builder can do a workload.
func (b Builder) Can(workload string) bool {
	for _, w := range b.cannot {
		if w == workload {
			return false
		}
	}
	return true
}

// Version is what the program says of itself, in one line. The paths are those of this repository's programs.
func (b Builder) Version(ctx context.Context, lbuild, runc string) (string, error) {
	program := lbuild
	switch {
	case b.Probe:
		program = runc
	case b.program != "":
		program = b.program
	case len(b.programs) > 0:
		program = b.programs[0]
	}
	out, err := exec.CommandContext(ctx, program, b.version...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return strings.Join(strings.Fields(string(out)), " "), nil
}

// Open makes a fresh root with the base in it. The caller closes it. When it fails, closing the scope ends
// what was started.
func (b Builder) Open(ctx context.Context, site Site) (Root, error) {
	root, err := b.open(ctx, site)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name, err)
	}
	if b.Probe {
		return root, nil
	}
	prime := Job{Context: site.Context, Buildfile: site.Prime, Out: filepath.Join(site.Dir, "primed")}
	if err := root.Build(ctx, prime); err != nil {
		return nil, fmt.Errorf("%s, import of the base: %w", b.Name, errors.Join(err, root.Close(context.WithoutCancel(ctx))))
	}
	return root, os.RemoveAll(prime.Out)
}

// command is a program in the site's scope, with its temporary files in the site and what it prints in the log.
func (s Site) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := s.Scope.Command(ctx, name, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+s.Dir)
	cmd.Stdout, cmd.Stderr = s.Log, s.Log
	return cmd
}

// run runs a command to its end.
func (s Site) run(ctx context.Context, name string, args ...string) error {
	cmd := s.command(ctx, name, args...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, measure.Said(s.Log))
	}
	return nil
}
