package builder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lbuild/lbuild/bench/compare/internal/measure"
)

type buildkitRoot struct {
	Site
	daemon *exec.Cmd
}

// openBuildKit starts a daemon and waits until it listens.
func openBuildKit(ctx context.Context, site Site) (Root, error) {
	r := buildkitRoot{Site: site}
	r.daemon = site.command(ctx, "buildkitd", "--root", site.Dir+"/root", "--addr", "unix://"+r.socket(),
		"--config", "/dev/null", "--allow-insecure-entitlement", "network.host",
		"--containerd-worker=false", "--oci-worker=true", "--oci-worker-snapshotter", "overlayfs", "--oci-worker-net", "host",
		"--oci-worker-gc=false", "--oci-worker-binary", site.Runc)
	if err := r.daemon.Start(); err != nil {
		return nil, err
	}
	if err := r.listens(ctx); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

func (r buildkitRoot) socket() string { return filepath.Join(r.Dir, "socket") }

func (r buildkitRoot) listens(ctx context.Context) error {
	const pause, tries = 100 * time.Millisecond, 100
	for range tries {
		if c, err := net.Dial("unix", r.socket()); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return fmt.Errorf("buildkitd does not listen: %s", measure.Said(r.Log))
}

// Build asks the daemon.
func (r buildkitRoot) Build(ctx context.Context, job Job) error {
	return r.run(ctx, "buildctl", "--addr", "unix://"+r.socket(), "build", "--progress", "plain",
		"--frontend", "dockerfile.v0", "--local", "context="+job.Context, "--local", "dockerfile="+filepath.Dir(job.Buildfile),
		"--opt", "filename="+filepath.Base(job.Buildfile), "--opt", "force-network-mode=host", "--allow", "network.host",
		"--oci-layout", "base="+r.Base.Dir, "--opt", "context:"+r.BaseName+"=oci-layout://base@"+r.Base.Digest.String(),
		"--output", "type=oci,tar=false,dest="+job.Out)
}

// Close ends the daemon, which unmounts what it had mounted.
func (r buildkitRoot) Close(context.Context) error {
	err := r.daemon.Process.Signal(syscall.SIGTERM)
	const patience = 10 * time.Second
	kill := time.AfterFunc(patience, func() { _ = r.daemon.Process.Kill() })
	defer kill.Stop()
	var exit *exec.ExitError
	if waitErr := r.daemon.Wait(); !errors.As(waitErr, &exit) && !errors.Is(waitErr, context.Canceled) {
		err = errors.Join(err, waitErr)
	}
	return err
}
