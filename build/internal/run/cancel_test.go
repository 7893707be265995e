package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build/internal/run"
)

// family starts processes that ignore signals and leave their session.
const family = "trap '' TERM INT HUP; (trap '' TERM; sleep 1000 & sleep 1000) & sh -c 'setsid sleep 1000 &' ; echo ready; sleep 1000; sleep 1000"

func TestCancelEndsTheWholeFamily(t *testing.T) {
	m := newMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := m.shell(family)
	ready := make(chan string, 16)
	c.Stdout = writerFunc(func(p []byte) (int, error) { ready <- string(p); return len(p), nil })
	var g errgroup.Group
	g.Go(func() error { return m.runtime.Run(ctx, c) })
	receive(t, ready)
	if len(processesIn(t, m.root)) < 3 {
		t.Fatal("the test cannot see the container's processes")
	}
	start := time.Now()
	cancel()
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("cancelling took %v", took)
	}
	m.checkNothingLeft(t)
	if got := tree(t, m.upper); got != "" {
		t.Errorf("left in the layer:\n%s", got)
	}
}

// At each of these moments the runtime does something else.
func TestCancelWhileTheContainerStarts(t *testing.T) {
	m := newMachine(t)
	for delay := time.Duration(0); delay < 60*time.Millisecond; delay += 6 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		err := m.runtime.Run(ctx, m.shell("sleep 1000"))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: got error %v, want context.DeadlineExceeded", delay, err)
		}
		m.checkNothingLeft(t)
	}
}

func TestCgroupsAreRemoved(t *testing.T) {
	m := newMachine(t)
	c := m.shell("sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { return m.runtime.Run(ctx, c) })
	id := containerID(t, m.scratch)
	waitUntil(t, "the container has a cgroup", func() bool { return strings.Contains(fmt.Sprint(cgroups(t)), id) })
	cancel()
	_ = g.Wait() // the error is another test's
	if strings.Contains(fmt.Sprint(cgroups(t)), id) {
		t.Errorf("cgroups are left: %v", cgroups(t))
	}
}

// containerID waits for the directory of the one container in scratch.
func containerID(t testing.TB, scratch string) string {
	t.Helper()
	var id string
	waitUntil(t, "the container has a directory", func() bool {
		found, _ := filepath.Glob(filepath.Join(scratch, "lbuild-*"))
		if len(found) == 1 {
			id = filepath.Base(found[0])
		}
		return id != ""
	})
	return id
}

func waitUntil(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s it is still not so that %s", what)
		}
	}
}

// dieInRun is set in the process that TestReap… kills, to its root and scratch.
const dieInRun = "LBUILD_TEST_DIE_IN_RUN"

// runForEver is the main function of that process.
func runForEver(dirs string) {
	root, scratch, _ := strings.Cut(dirs, "|")
	r, err := findRuntime()
	if err == nil {
		err = r.Run(context.Background(), run.Command{
			Root: root, Scratch: scratch, Args: []string{"/bin/sh", "-c", family}, Stdout: os.Stdout,
		})
	}
	fmt.Println("ended:", err)
}

func TestReapEndsWhatADeadProcessLeft(t *testing.T) {
	m := newMachine(t)
	parent := startParent(t, m)
	parent.waitReady(t)
	parent.kill(t)
	if len(processesIn(t, m.root)) == 0 {
		t.Fatal("the container died with its parent: the test shows nothing")
	}
	id := containerID(t, m.scratch)
	must(t, run.Reap(t.Context(), m.scratch))
	m.checkNothingLeft(t)
	if strings.Contains(fmt.Sprint(cgroups(t)), id) {
		t.Errorf("cgroups are left: %v", cgroups(t))
	}
	must(t, run.Reap(t.Context(), m.scratch)) // again
}

func TestReapAfterADeathInTheMiddleOfTheStart(t *testing.T) {
	m := newMachine(t)
	for delay := time.Duration(0); delay < 40*time.Millisecond; delay += 5 * time.Millisecond {
		parent := startParent(t, m)
		containerID(t, m.scratch)
		time.Sleep(delay)
		parent.kill(t)
		must(t, run.Reap(t.Context(), m.scratch))
		waitUntil(t, "the runtime's own children have ended", func() bool { return len(processesIn(t, m.root)) == 0 })
		m.checkNothingLeft(t)
	}
}

func TestReapOfNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, run.Reap(t.Context(), dir))
	must(t, run.Reap(t.Context(), filepath.Join(dir, "missing")))
	other := filepath.Join(dir, "lbuild-file")
	must(t, os.WriteFile(other, nil, 0o600))
	must(t, run.Reap(t.Context(), dir))
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file that is no container's is gone: %v", err)
	}
}

// parent is this test program again, in the middle of Run.
type parent struct {
	cmd *exec.Cmd
	out *os.File
}

func startParent(t testing.TB, m machine) parent {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), dieInRun+"="+m.root+"|"+m.scratch)
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	p := parent{cmd, out}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = out.Close()
		_ = run.Reap(context.WithoutCancel(t.Context()), m.scratch)
	})
	return p
}

func (p parent) waitReady(t testing.TB) {
	t.Helper()
	waitUntil(t, "the container runs", func() bool {
		data, err := os.ReadFile(p.out.Name())
		return err == nil && bytes.Contains(data, []byte("ready"))
	})
}

func (p parent) kill(t testing.TB) {
	t.Helper()
	must(t, p.cmd.Process.Signal(syscall.SIGKILL))
	_ = p.cmd.Wait()
}
