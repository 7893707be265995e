package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/go-runc"
)

const (
	killPause = 50 * time.Millisecond
	killTries = 100
)

// execute runs the bundle's container and reads how it ended.
func (r Runtime) execute(ctx context.Context, b bundle, c Command) error {
	status, err := r.runUntil(ctx, b, &runc.CreateOpts{IO: output{c.Stdout, c.Stderr}, PidFile: b.pidFile()})
	if status == 0 && err == nil {
		return nil
	}
	failure := r.failure(b, status, err)
	if cause := ctx.Err(); cause != nil {
		failure = fmt.Errorf("run %s: %w", c.Args[0], cause)
	}
	// A runtime that fails or is killed may leave its cgroup.
	return errors.Join(failure, b.end(context.WithoutCancel(ctx)))
}

// runUntil is one call of the runtime. When ctx ends it kills the container
// and still waits for the runtime, which then removes mounts and cgroups.
func (r Runtime) runUntil(ctx context.Context, b bundle, opts *runc.CreateOpts) (int, error) {
	client := r.client(b)
	client.Log, client.LogFormat = b.log(), runc.JSON
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		select {
		case <-done:
		case <-ctx.Done():
			r.kill(running, b, done)
			stop()
		}
	})
	status, err := client.Run(running, b.id, b.dir, opts)
	close(done)
	killer.Wait()
	return status, err
}

// kill ends the container's first process, and with it the kernel ends all
// others in its pid namespace. It repeats itself until done is closed, since
// a container that is still being made cannot be killed, but not for ever.
func (r Runtime) kill(ctx context.Context, b bundle, done <-chan struct{}) {
	client := r.client(b)
	for range killTries {
		_ = client.Kill(ctx, b.id, int(syscall.SIGKILL), nil)
		select {
		case <-done:
			return
		case <-time.After(killPause):
		}
	}
}

// client calls the runtime so that it dies with this process, and keeps its
// records in the bundle.
func (r Runtime) client(b bundle) *runc.Runc {
	return &runc.Runc{Command: r.Path, Root: b.state(), PdeathSignal: syscall.SIGKILL}
}

// output is a runc.IO without input whose writers belong to the caller.
type output struct {
	stdout, stderr io.Writer
}

func (o output) Close() error          { return nil }
func (o output) Stdin() io.WriteCloser { return nil }
func (o output) Stdout() io.ReadCloser { return nil }
func (o output) Stderr() io.ReadCloser { return nil }

func (o output) Set(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = o.stdout, o.stderr }

var _ runc.IO = output{}
