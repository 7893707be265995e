package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const sleepingBuildfile = `FROM scratch
COPY busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN trap "" INT TERM; echo started; /bin/busybox sleep 1000
`

// sleepingBuild starts a build whose last step sleeps, and waits until it does. The step ignores signals.
func sleepingBuild(t *testing.T) (cmd *exec.Cmd, root string, stdout *bytes.Buffer, stderr *syncBuffer) {
	t.Helper()
	busybox, err := os.ReadFile(needMachine(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.TempDir()
	for name, data := range map[string][]byte{"busybox": busybox, "Buildfile": []byte(sleepingBuildfile)} {
		if err := os.WriteFile(filepath.Join(ctx, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root = filepath.Join(t.TempDir(), "root")
	stdout, stderr = &bytes.Buffer{}, &syncBuffer{}
	cmd = exec.Command("lbuild", "--root", root, "--progress", "plain", ctx)
	cmd.Env = append(os.Environ(), "PATH="+pathWithRuntime(os.Getenv("PATH")))
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // when the test failed before it ended
		_ = cmd.Wait()
	})
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(stderr.String(), " started\n") {
		if time.Now().After(deadline) {
			t.Fatalf("the step did not start within a minute:\n%s", stderr)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return cmd, root, stdout, stderr
}

func TestASignalEndsABuildWithItsStatusAndLeavesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		signals []syscall.Signal
		status  int
		says    string
	}{
		"interrupt":          {[]syscall.Signal{syscall.SIGINT}, 130, "error: interrupted"},
		"termination":        {[]syscall.Signal{syscall.SIGTERM}, 143, "error: terminated"},
		"impatience":         {[]syscall.Signal{syscall.SIGINT, syscall.SIGINT, syscall.SIGTERM}, 130, "error: interrupted"},
		"terminal that went": {[]syscall.Signal{syscall.SIGHUP}, 129, "error: stopped: hangup"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, root, stdout, stderr := sleepingBuild(t)
			for _, s := range test.signals {
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Millisecond)
			}
			exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
			if !ok || exit.ExitCode() != test.status {
				t.Errorf("got %v, want exit status %d:\n%s", exit, test.status, stderr)
			}
			if lines := strings.Split(strings.TrimSpace(stderr.String()), "\n"); lines[len(lines)-1] != test.says {
				t.Errorf("stderr ends with %q, want %q", lines[len(lines)-1], test.says)
			}
			if stdout.Len() > 0 {
				t.Errorf("stdout has %q", stdout)
			}
			nothingLeft(t, root)
		})
	}
}

// nothingLeft checks that no lease and no mount of a store is left.
func nothingLeft(t *testing.T, root string) {
	t.Helper()
	leases, err := filepath.Glob(filepath.Join(root, "leases", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), leases); diff != "" {
		t.Errorf("leases: -want +got:\n%s", diff)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), root) {
		t.Errorf("something is still mounted below %s", root)
	}
}

func TestOtherUsersAreToldThatLbuildNeedsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("missing: root, to become another user")
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lbuild-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lbuild"), self, 0o755); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(dir, "lbuild"), "images")
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	exit, ok := errors.AsType[*exec.ExitError](cmd.Run())
	if !ok || exit.ExitCode() != statusFailed {
		t.Errorf("got %v, want exit status %d", exit, statusFailed)
	}
	if got := stderr.String(); !strings.Contains(got, "needs to be root") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %q, want one line that says so", got)
	}
}
