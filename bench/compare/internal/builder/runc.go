package builder

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// runcRoot is an unpacked base in which commands run without any builder: what they cost at least.
type runcRoot struct{ Site }

func openRunc(ctx context.Context, site Site) (Root, error) {
	r := runcRoot{site}
	rootfs := filepath.Join(r.bundle(), "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		return nil, err
	}
	return r, site.Base.Unpack(ctx, rootfs)
}

func (r runcRoot) bundle() string { return filepath.Join(r.Dir, "bundle") }

// Build runs the commands of a Buildfile that has nothing but RUN, one container after the other. It makes no image.
func (r runcRoot) Build(ctx context.Context, job Job) error {
	text, err := os.ReadFile(job.Buildfile)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		command, ok := strings.CutPrefix(line, "RUN ")
		if !ok {
			continue
		}
		if err := r.configure(command); err != nil {
			return err
		}
		if err := r.run(ctx, r.Runc, "--root", r.Dir+"/state", "run", "--bundle", r.bundle(), fmt.Sprintf("compare-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// configure writes a container like those of builders, in the host's network.
func (r runcRoot) configure(command string) error {
	mount := func(kind, at string, options ...string) map[string]any {
		return map[string]any{"destination": at, "type": kind, "source": kind, "options": append(options, "nosuid", "noexec")}
	}
	namespaces := []map[string]string{}
	for _, n := range []string{"pid", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]string{"type": n})
	}
	capabilities := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID"}
	config := map[string]any{
		"ociVersion": "1.0.2",
		"root":       map[string]any{"path": "rootfs"},
		"process": map[string]any{
			"cwd": "/", "args": []string{"/bin/sh", "-c", command}, "env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
			"user": map[string]int{"uid": 0, "gid": 0}, "noNewPrivileges": true,
			"capabilities": map[string]any{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
		},
		"mounts": []map[string]any{
			mount("proc", "/proc"), mount("tmpfs", "/dev", "mode=755"), mount("devpts", "/dev/pts", "newinstance"),
			mount("mqueue", "/dev/mqueue"), mount("sysfs", "/sys", "ro"),
		},
		"linux": map[string]any{"namespaces": namespaces},
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.bundle(), "config.json"), text, 0o600)
}

// Close has nothing to end.
func (runcRoot) Close(context.Context) error { return nil }
