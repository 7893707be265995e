package run_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/lbuild/lbuild/build/internal/run"
)

func TestMain(m *testing.M) {
	if scratch := os.Getenv(dieInRun); scratch != "" {
		runForEver(scratch)
		return
	}
	goleak.VerifyTestMain(m)
}

// missing ends a test that this machine cannot run: a skip, or a failure where
// LBUILD_TEST_STRICT=1 promises a machine that has everything.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("LBUILD_TEST_STRICT") == "1" {
		t.Fatal("missing: " + what)
	}
	t.Skip("missing: " + what)
}

// findRuntime prefers the runc that make built from the pinned sources.
// LBUILD_TEST_RUNTIME names another one to test with.
func findRuntime() (run.Runtime, error) {
	explicit := cmp.Or(os.Getenv("LBUILD_TEST_RUNTIME"), "../../../bin/runc")
	if r, err := run.Find(explicit); err == nil {
		return r, nil
	}
	return run.Find("")
}

// machine is a root on a real overlay mount with a static busybox in it, and
// a scratch directory. Nothing else exists in the root, not even /etc.
type machine struct {
	root, upper, scratch string
	runtime              run.Runtime
}

var applets = []string{
	"sh", "cat", "id", "env", "pwd", "ls", "touch", "mkdir", "mv", "ln", "ip", "grep", "kill", "sleep", "stat", "hostname",
	"mknod", "mount", "df", "readlink", "wc", "head", "rm", "rmdir", "chown", "setsid", "sort", "printf", "test", "true",
}

// newMachine makes a machine whose lower tree is changed by prepare.
func newMachine(t testing.TB, prepare ...func(lower string) error) machine {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "root, for mounts and containers")
	}
	base := t.TempDir()
	lower := filepath.Join(base, "lower")
	installBusybox(t, lower)
	for _, p := range prepare {
		must(t, p(lower))
	}
	runtime, err := findRuntime()
	if err != nil {
		missing(t, err.Error())
	}
	m := machine{
		root: filepath.Join(base, "root"), upper: filepath.Join(base, "upper"), scratch: filepath.Join(base, "scratch"),
		runtime: runtime,
	}
	for _, dir := range []string{m.root, m.upper, m.scratch, filepath.Join(base, "work")} {
		must(t, os.Mkdir(dir, 0o755))
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, m.upper, filepath.Join(base, "work"))
	if err := unix.Mount("overlay", m.root, "overlay", 0, options); err != nil {
		missing(t, "overlay mounts: "+err.Error())
	}
	t.Cleanup(func() { must(t, unix.Unmount(m.root, 0)) })
	return m
}

func installBusybox(t testing.TB, lower string) {
	t.Helper()
	const busybox = "/bin/busybox" // Debian's busybox-static
	data, err := os.ReadFile(busybox)
	if err != nil {
		missing(t, "Debian's busybox-static: "+err.Error())
	}
	must(t, os.MkdirAll(filepath.Join(lower, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(lower, "bin/busybox"), data, 0o755))
	for _, a := range applets {
		must(t, os.Symlink("busybox", filepath.Join(lower, "bin", a)))
	}
	long := time.Unix(1_000_000_000, 123_456_789)
	must(t, os.Chtimes(lower, long, long))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shell is a command that runs script in /bin/sh.
func (m machine) shell(script string) run.Command {
	return run.Command{Root: m.root, Scratch: m.scratch, Args: []string{"/bin/sh", "-c", script}}
}

// output runs c and returns what it wrote to stdout. A failure of c is fatal.
func (m machine) output(t testing.TB, c run.Command) string {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := m.runtime.Run(t.Context(), c); err != nil {
		t.Fatalf("%v\nstdout: %s\nstderr: %s", err, &out, &errs)
	}
	return out.String()
}

// exitError runs c, which must fail by itself.
func (m machine) exitError(t testing.TB, c run.Command) *run.ExitError {
	t.Helper()
	err := m.runtime.Run(t.Context(), c)
	exit, ok := errors.AsType[*run.ExitError](err)
	if !ok {
		t.Fatalf("got error %v, want an *ExitError", err)
	}
	return exit
}

// tree lists a directory: one line for each path but the directory itself.
func tree(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-mindepth", "1", "-printf", "%y %m %P\n").Output()
	must(t, err)
	return string(out)
}

// checkNothingLeft looks for what a container might leave on the machine.
func (m machine) checkNothingLeft(t testing.TB) {
	t.Helper()
	if got := tree(t, m.scratch); got != "" {
		t.Errorf("left in scratch:\n%s", got)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), m.scratch) || strings.Count(string(mounts), m.root) != 1 {
		t.Errorf("left mounts:\n%s", mounts)
	}
	if pids := processesIn(t, m.root); len(pids) > 0 {
		t.Errorf("left processes %v", pids)
	}
}

// cgroups lists the cgroups of containers in every hierarchy.
func cgroups(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup/lbuild-*", "/sys/fs/cgroup/*/lbuild-*"} {
		found, err := filepath.Glob(pattern)
		must(t, err)
		all = append(all, found...)
	}
	return all
}

// processesIn lists the processes whose root directory is the mount at root.
func processesIn(t testing.TB, root string) []string {
	t.Helper()
	var want syscall.Stat_t
	must(t, syscall.Stat(root, &want))
	roots, err := filepath.Glob("/proc/[0-9]*/root")
	must(t, err)
	var pids []string
	for _, r := range roots {
		var got syscall.Stat_t
		if syscall.Stat(r, &got) == nil && got.Dev == want.Dev && got.Ino == want.Ino {
			pids = append(pids, filepath.Base(filepath.Dir(r)))
		}
	}
	return pids
}
