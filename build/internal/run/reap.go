package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupRoot is where every Linux system mounts its cgroups: the unified tree
// itself, or one directory for each hierarchy.
const cgroupRoot = "/sys/fs/cgroup"

// Reap ends the containers that a process which died in the middle of Run
// left in its Scratch directory, and removes their files; it needs no runtime
// for that. A directory that does not exist holds none. It may be repeated,
// but not be called while the owner of scratch lives.
func Reap(ctx context.Context, scratch string) error {
	entries, err := os.ReadDir(scratch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), idPrefix) {
			b := bundleAt(scratch, e.Name())
			errs = append(errs, b.end(ctx), b.remove())
		}
	}
	return errors.Join(errs...)
}

// end kills the processes of a container whose runtime is dead or has failed.
// They are found by their cgroup, which the runtime makes before it starts
// any of them, and their mounts go with their mount namespace.
func (b bundle) end(ctx context.Context) error {
	for _, dir := range b.cgroups() {
		if err := endCgroup(ctx, dir); err != nil {
			return fmt.Errorf("container %s: %w", b.id, err)
		}
	}
	return nil
}

// cgroups lists the container's directories in every hierarchy.
func (b bundle) cgroups() []string {
	unified, _ := filepath.Glob(cgroupRoot + b.cgroup())
	each, _ := filepath.Glob(cgroupRoot + "/*" + b.cgroup())
	return append(unified, each...)
}

// endCgroup kills what is in a cgroup until it can be removed.
func endCgroup(ctx context.Context, dir string) error {
	for range killTries {
		killMembers(dir)
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(killPause):
		}
	}
	return fmt.Errorf("processes in %s outlive SIGKILL", dir)
}

func killMembers(dir string) {
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, line := range strings.Fields(string(procs)) {
		// A process of a foreign pid namespace is listed as 0, which kill(2)
		// takes for the caller's own group.
		if pid, err := strconv.Atoi(line); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
