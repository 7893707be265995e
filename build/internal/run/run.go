// Package run executes one command in a container on a mounted root, with runc
// or crun. A command that changes nothing leaves nothing behind: mount points
// that the container needs are made before it starts, taken away afterwards,
// and the directories around them keep their times.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Network is what a command sees of the network.
type Network string

const (
	// HostNetwork is the machine's own, its name servers included.
	HostNetwork Network = ""
	// NoNetwork has a loopback interface and nothing else.
	NoNetwork Network = "none"
)

// Host is a line for /etc/hosts.
type Host struct{ Name, IP string }

// File is a file that exists for one command only.
type File struct {
	// Path is where the command finds it.
	Path string
	// Data is its content. The command can read and execute it, not write.
	Data []byte
}

// Ulimit is a limit of the command's processes, by docker's name, such as
// nofile. -1 is no limit.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// Command is what to run and where. The zero values of all fields but Root,
// Scratch and Args are right for a plain RUN.
type Command struct {
	// Root is the mounted tree that the command sees as "/". Nobody else may
	// write to it while the command runs.
	Root string
	// Scratch is a directory for the files of the running container, which are
	// gone when Run returns. Several commands may share it; Reap takes the
	// same directory.
	Scratch string
	// Args is the command with its arguments, searched for in PATH of Env.
	Args []string
	// Env is the environment as KEY=VALUE. PATH and HOME are added if missing:
	// docker's default, and the home directory in the image's /etc/passwd.
	Env []string
	// Dir is the working directory inside Root and must exist; "" is "/".
	Dir string
	// User is a name or number, optionally with :group; "" is root. Names and
	// supplementary groups come from the image's own files.
	User string
	// Network is HostNetwork by default.
	Network Network
	// Hosts are added to /etc/hosts below the lines for localhost.
	Hosts []Host
	// Files are mounted over whatever the image has at their paths.
	Files []File
	// Hostname is "lbuild" if empty, the same on every machine.
	Hostname string
	// ShmSize is the size of /dev/shm in bytes; 0 is 64 MiB.
	ShmSize int64
	// Ulimits are set for the command; the others are as lbuild itself was
	// given.
	Ulimits []Ulimit
	// Stdout and Stderr receive the output as it comes, also in the middle of
	// a line; nil discards it. They may be the same writer. What the runtime
	// itself has to say about a container that cannot start is on Stderr too.
	Stdout, Stderr io.Writer
}

// Runtime is an OCI runtime: runc or crun.
type Runtime struct {
	// Path is the absolute path of the executable.
	Path string
}

// Find returns the runtime at explicit (a path, or a name on PATH). Without
// one it looks for runc beside the running executable, then for runc and crun
// on PATH.
func Find(explicit string) (Runtime, error) {
	if explicit != "" {
		return lookUp(explicit)
	}
	for _, candidate := range append(besideUs(), "runc", "crun") {
		if r, err := lookUp(candidate); err == nil {
			return r, nil
		}
	}
	return Runtime{}, errors.New("no container runtime: put runc beside lbuild (`make build` does) or install runc or crun")
}

func lookUp(name string) (Runtime, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return Runtime{}, fmt.Errorf("container runtime: %w", err)
	}
	path, err = filepath.Abs(path)
	return Runtime{Path: path}, err
}

func besideUs() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{filepath.Join(filepath.Dir(self), "runc")}
}

// Run runs c and waits for its end. A command that fails, or that cannot be
// found or executed, is an *ExitError. A command that ends takes the processes
// with it that it left in the background. When ctx ends first, the container is
// killed, and its processes, mounts and cgroups are gone before Run returns an
// error that wraps ctx's.
func (r Runtime) Run(ctx context.Context, c Command) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := newBundle(c.Scratch)
	if err != nil {
		return err
	}
	return errors.Join(r.runIn(ctx, b, c), b.remove())
}

func (c Command) check() error {
	switch {
	case len(c.Args) == 0:
		return errors.New("no command to run")
	case !filepath.IsAbs(c.Root) || !filepath.IsAbs(c.Scratch):
		return fmt.Errorf("root %q and scratch %q must be absolute paths", c.Root, c.Scratch)
	case c.Dir != "" && !filepath.IsAbs(c.Dir):
		return fmt.Errorf("working directory %q is not absolute", c.Dir)
	case c.Network != HostNetwork && c.Network != NoNetwork:
		return fmt.Errorf("unknown network %q", c.Network)
	case c.ShmSize < 0:
		return fmt.Errorf("negative size %d of /dev/shm", c.ShmSize)
	}
	for _, h := range c.Hosts {
		if _, err := netip.ParseAddr(h.IP); err != nil || len(strings.Fields(h.Name)) != 1 {
			return fmt.Errorf("host %q with address %q cannot stand in /etc/hosts", h.Name, h.IP)
		}
	}
	return nil
}

func (r Runtime) runIn(ctx context.Context, b bundle, c Command) error {
	files, err := b.writeFiles(c)
	if err != nil {
		return err
	}
	spec, err := c.spec(ctx, b, files)
	if err != nil {
		return err
	}
	if err := b.writeConfig(spec); err != nil {
		return err
	}
	points, err := makeMountPoints(c.Root, spec.Mounts)
	if err != nil {
		return err
	}
	return errors.Join(r.execute(ctx, b, c), points.remove())
}
