package treetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const (
	insideEnv = "LBUILD_TEST_USERNS"
	firstID   = 100_000 // of the host, and root inside
	countIDs  = 65_536
)

// UserNamespace runs the calling test once more, in a process that is root of its own user and mount namespace and
// nobody outside of it. It returns true there, and false to the caller outside, after that run, which has nothing more
// to do then.
func UserNamespace(t *testing.T) (inside bool) {
	t.Helper()
	if os.Getenv(insideEnv) == "1" {
		return true
	}
	NeedRoot(t)
	dir := t.TempDir()
	// The directory that holds the test's temporary ones is closed to others.
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chown(dir, firstID, firstID)); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+regexp.QuoteMeta(name)+"$", fmt.Sprintf("-test.v=%t", testing.Verbose()))
	cmd.Env = append(os.Environ(), insideEnv+"=1", "TMPDIR="+dir)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: firstID, Size: countIDs}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
	t.Logf("in a user namespace:\n%s", out)
	return false
}
