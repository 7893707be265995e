//go:build !race

package layer_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff/internal/treetest"
)

// TestWriteTellsEachCallThatFails lets each system call that reads the trees fail once, and expects the error of its path.
func TestWriteTellsEachCallThatFails(t *testing.T) {
	treetest.NeedRoot(t)
	treetest.NeedPrograms(t, "strace")
	dir := t.TempDir()
	treetest.Make(t, dir, fmt.Sprintf(`
		lower/
		lower/d/
		lower/d/gone
		lower/l -> x
		lower/re/
		lower/re/old
		lower/same %q
		upper/
		upper/d/ user.k="v"
		upper/d/f "1"
		upper/d/gone char=0:0
		upper/l -> x
		upper/re/ trusted.overlay.opaque="y"
		upper/re/n
		upper/same %q
		upper/sparse size=2000000
	`, text(100_000), text(100_000)))
	whole := packElsewhere(t, dir, "")
	if whole.Err != "" || whole.Entries != 7 {
		t.Fatalf("without a fault: %+v", whole)
	}
	known := regexp.MustCompile(`^(\.|d|d/f|d/gone|l|re|re/n|re/old|same|sparse)$`)
	for call, least := range map[string]int{
		"openat2": 15, "newfstatat": 18, "fstat": 8, "getdents64": 8, "llistxattr": 16, "lgetxattr": 2, "readlinkat": 2,
		"pread64": 5, "lseek": 5,
	} {
		failed := 0
		for n := range countCalls(t, dir, call) {
			got := packElsewhere(t, dir, fmt.Sprintf("%s:error=EIO:when=%d", call, n+1))
			if got == (outcome{}) || got == whole {
				continue // it was a call of the loader or of Go
			}
			failed++
			if got.Entries != 0 || !known.MatchString(got.Path) || !strings.Contains(got.Err, "input/output error") {
				t.Errorf("%s fails the %dth time: %+v", call, n+1, got)
			}
		}
		if t.Logf("%d calls of %s", failed, call); failed < least {
			t.Errorf("%s failed %d times, want %d at least", call, failed, least)
		}
	}
}

// countCalls returns how many calls of one kind a layer takes, with those that the program takes to start.
func countCalls(t *testing.T, dir, call string) int {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-qqq", "-o", trace, "-e", "signal=none", "-e", "trace="+call, os.Args[0])
	cmd.Env = append(os.Environ(), packEnv+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(calls), call+"(")
}

// notLoaded is the status of a program that lacks a library.
const notLoaded = 127

// packElsewhere packs a layer in another process with a fault, as strace describes it. The outcome is the zero one if the
// fault kept the program from starting.
func packElsewhere(t *testing.T, dir, fault string) (o outcome) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	if fault != "" {
		call, _, _ := strings.Cut(fault, ":")
		cmd = exec.Command("strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+fault, os.Args[0])
	}
	cmd.Env = append(os.Environ(), packEnv+"="+dir)
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() == notLoaded {
		return outcome{}
	}
	if err == nil {
		err = json.Unmarshal(out, &o)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", fault, err, out)
	}
	return o
}

// TestCallsDoNotGrowWithTheLowerDirectories counts system calls, which do not depend on the machine as times do.
func TestCallsDoNotGrowWithTheLowerDirectories(t *testing.T) {
	treetest.NeedPrograms(t, "strace")
	counts := map[int]map[string]int{}
	for _, size := range []int{10, 5000} {
		dir := t.TempDir()
		treetest.Make(t, dir, "lower/\nlower/d/\nupper/\nupper/d/")
		for i := range size {
			treetest.Make(t, filepath.Join(dir, "lower/d"), fmt.Sprintf("f%d %q", i, "x"))
		}
		treetest.Make(t, dir, "upper/d/f1 \"y\"\nupper/d/f2 \"x\"\nupper/d/f3 char=0:0\nupper/d/new")
		counts[size] = map[string]int{}
		for _, call := range []string{"openat2", "newfstatat", "getdents64", "llistxattr", "pread64"} {
			counts[size][call] = countCalls(t, dir, call)
		}
	}
	if d := cmp.Diff(counts[10], counts[5000]); d != "" {
		t.Errorf("calls over 10 lower files and over 5000 (-10 +5000):\n%s", d)
	}
}
