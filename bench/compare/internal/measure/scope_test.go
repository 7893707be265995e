package measure

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newScope skips where there are no cgroups to make, or fails with LBUILD_TEST_STRICT=1.
func newScope(t *testing.T) *Scope {
	t.Helper()
	s, err := NewScope("test")
	switch {
	case err == nil:
	case os.Getenv("LBUILD_TEST_STRICT") == "1":
		t.Fatal(err)
	default:
		t.Skip("no cgroup can be made: ", err)
	}
	return s
}

func TestTimeCountsProcessesThatNobodyWaitsFor(t *testing.T) {
	s := newScope(t)
	defer s.Close()
	usage, err := s.Time(func() error {
		// The shell in the background outlives the one that started it, and is nobody's child when it ends.
		cmd := s.Command(t.Context(), "sh", "-c", `(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; touch "$0") &`, t.TempDir()+"/done")
		if err := cmd.Run(); err != nil {
			return err
		}
		return waitFor(cmd.Args[len(cmd.Args)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	if usage.CPU < 20*time.Millisecond || usage.Wall < 20*time.Millisecond {
		t.Errorf("usage is %+v, want more of a loop of 200,000", usage)
	}
}

// TestTimeCountsContainers moves a process where runc puts containers: into a cgroup of their own, below the root.
func TestTimeCountsContainers(t *testing.T) {
	s := newScope(t)
	defer s.Close()
	usage, err := s.Time(func() error {
		return s.Command(t.Context(), "sh", "-c", `mkdir "$0/container" && echo $$ >"$0/container/cgroup.procs" &&
			grep -q '^0::/container$' /proc/self/cgroup && i=0 && while [ $i -lt 200000 ]; do i=$((i+1)); done`, s.mount).Run()
	})
	if err != nil {
		t.Fatal(err)
	}
	if usage.CPU < 20*time.Millisecond {
		t.Errorf("usage is %+v, want more of a loop of 200,000", usage)
	}
}

func waitFor(path string) error {
	const pause, tries = 10 * time.Millisecond, 3000
	for range tries {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(pause)
	}
	return errors.New("the loop does not end")
}

func TestCloseEndsWhatRuns(t *testing.T) {
	s := newScope(t)
	cmd := s.Command(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	err := cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("sleep ended with %v, want a kill", err)
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cgroup is still there: %v", err)
	}
}

func TestOwnPathIsThatOfVersion2(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"4:memory:/a\n0::/b/c\n", "/b/c"},
		{"0::/\n", "/"},
		{"", "/"},
	} {
		if got := ownPath(c.text); got != c.want {
			t.Errorf("ownPath(%q) is %q, want %q", strings.ReplaceAll(c.text, "\n", " "), got, c.want)
		}
	}
}
