// Package measure tells what programs cost: wall time, and CPU time with all that they start.
package measure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Scope is a cgroup. What starts in it is counted with its children, daemons and containers, and ends with it.
type Scope struct {
	mount, dir string // of the hierarchy, and of the cgroup in it
	fd         *os.File
}

// Usage is what something took.
type Usage struct {
	Wall, CPU time.Duration
}

// NewScope makes an empty cgroup below that of this process. The caller closes it.
func NewScope(name string) (*Scope, error) {
	mount, path, err := unified()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Join(mount, path), name+"-")
	if err != nil {
		return nil, err
	}
	fd, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &Scope{mount: mount, dir: dir, fd: fd}, nil
}

// unified is where the hierarchy of version 2 is mounted, and the path of this process's cgroup in it.
func unified() (mount, path string, err error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if at := slices.Index(fields, "-"); at > 4 && at+1 < len(fields) && fields[at+1] == "cgroup2" {
			return fields[4], ownPath(string(own)), nil
		}
	}
	return "", "", errors.New("no cgroup of version 2 is mounted")
}

// ownPath is the path that /proc/self/cgroup gives for version 2.
func ownPath(text string) string {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path
		}
	}
	return "/"
}

// enter makes the scope the root of all cgroups that a program sees, because runtimes put containers below that root. The
// program itself goes one level down: a cgroup with children may have no processes of its own.
const enter = `umount -l "$0" && mount -t cgroup2 none "$0" && mkdir -p "$0/main" && echo $$ >"$0/main/cgroup.procs" && exec "$@"`

// Command is a command that starts in the scope, with mounts that nobody else sees and that end with it. It is sent SIGTERM
// when the context ends, and killed ten seconds later.
func (s *Scope) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	const patience = 10 * time.Second
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--cgroup", "--mount", "sh", "-c", enter, s.mount, name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(s.fd.Fd())}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return cmd
}

// Time calls f and tells what it took, with all that ran in the scope meanwhile.
func (s *Scope) Time(f func() error) (Usage, error) {
	before, err := s.cpu()
	if err != nil {
		return Usage{}, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return Usage{}, err
	}
	wall := time.Since(start)
	after, err := s.cpu()
	return Usage{Wall: wall, CPU: after - before}, err
}

func (s *Scope) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join(s.dir, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(stat)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); ok {
			n, err := strconv.ParseInt(value, 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s/cpu.stat: no usage_usec", s.dir)
}

// Close kills what still runs in the scope and removes it.
func (s *Scope) Close() error {
	return errors.Join(s.kill(), s.remove(), s.fd.Close())
}

// kill ends all that runs in the scope, and returns when nothing does. Linux kills what starts in such a cgroup later.
func (s *Scope) kill() error {
	const (
		pause = 10 * time.Millisecond
		tries = 1000
	)
	if err := os.WriteFile(filepath.Join(s.dir, "cgroup.kill"), []byte("1"), 0); err != nil {
		return err
	}
	for range tries {
		events, err := os.ReadFile(filepath.Join(s.dir, "cgroup.events"))
		if err != nil {
			return err
		}
		if strings.Contains(string(events), "populated 0") {
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("%s: processes outlive their kill", s.dir)
}

// remove removes the cgroup and those that programs made in it.
func (s *Scope) remove() error {
	var dirs []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		err = errors.Join(err, os.Remove(dir))
	}
	return err
}
