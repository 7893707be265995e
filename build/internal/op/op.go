// Package op executes what a plan describes: on a mounted root, or, for a COPY whose tree nobody needs, as far as its layer
// has to be known. It knows ops, and nothing of the nodes that they stand in.
package op

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/platforms"

	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/run"
	"github.com/lbuild/lbuild/build/internal/source"
)

// Container is what a RUN needs besides its op.
type Container struct {
	Runtime        string // path of runc; "": beside the executable, else runc or crun on PATH
	Scratch        string // directory for the files of running containers
	Stdout, Stderr io.Writer
}

// Run executes a RUN on a mounted root.
func Run(ctx context.Context, r *plan.Run, root string, c Container) error {
	oci, err := run.Find(c.Runtime)
	if err != nil {
		return err
	}
	if err := source.MakeDir(root, r.Dir, nil); err != nil {
		return err
	}
	command := run.Command{
		Root: root, Scratch: c.Scratch, Args: r.Args, Env: slices.Concat(r.Env, r.Proxies), Dir: r.Dir, User: r.User,
		ShmSize: r.ShmSize, Stdout: c.Stdout,
	}
	said := &tail{Writer: c.Stderr}
	command.Stderr = said
	if r.Offline {
		command.Network = run.NoNetwork
	}
	for _, h := range r.Hosts {
		command.Hosts = append(command.Hosts, run.Host(h))
	}
	for _, f := range r.Scripts {
		command.Files = append(command.Files, run.File{Path: f.Path, Data: []byte(f.Data)})
	}
	for _, l := range r.Ulimits {
		command.Ulimits = append(command.Ulimits, run.Ulimit(l))
	}
	err = oci.Run(ctx, command)
	if exit, ok := errors.AsType[*run.ExitError](err); ok {
		return fmt.Errorf("RUN failed: %w%s", err, emulation(r.Platform, exit.Reason+said.last))
	}
	return err
}

// emulation says what is missing where a program of another architecture cannot be executed.
func emulation(platform, said string) string {
	p, err := platforms.Parse(platform)
	if err != nil || platforms.Default().Match(p) || !strings.Contains(strings.ToLower(said), "exec format error") {
		return ""
	}
	return fmt.Sprintf(": programs for %s do not run on %s until an emulator is registered with binfmt_misc; on Debian: apt-get install qemu-user-static binfmt-support",
		platforms.Format(p), platforms.DefaultString())
}

// tail remembers the end of what is written.
type tail struct {
	io.Writer
	last string
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 256 // bytes
	t.last += string(p[max(0, len(p)-most):])
	t.last = t.last[max(0, len(t.last)-most):]
	if t.Writer == nil {
		return len(p), nil
	}
	return t.Writer.Write(p)
}

// Workdir executes a WORKDIR on a mounted root.
func Workdir(w *plan.Workdir, root string) error {
	var owner *source.Owner
	if w.User != "" {
		o, err := source.LookupOwner(root, w.User)
		if err != nil {
			return fmt.Errorf("owner of the directory: %w", err)
		}
		owner = &o
	}
	return source.MakeDir(root, w.Dir, owner)
}
