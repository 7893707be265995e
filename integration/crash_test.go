package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// long asks for the full number of rounds in tests that otherwise take a sample.
var long = os.Getenv("LBUILD_TEST_LONG") == "1"

// rounds is how often a test repeats itself: few times, or many if someone has the time.
func rounds(few, many int) int {
	if long {
		return many
	}
	return few
}

// victim is a build that is ended in the middle: it unpacks a base, copies, runs, copies between stages, and writes
// a file. Whatever happens to it, the next build of the same must give the same.
type victim struct {
	*meter
	dir    string
	digest string   // of the manifest
	out    [32]byte // of the file that it writes
}

const victimBuildfile = `-- Buildfile --
FROM base AS one
COPY d /d
RUN seq 1 20000 >/numbers; mkdir /made; echo x >/made/x
FROM base
RUN rm /etc/group; seq 1 10000 >/other
COPY --from=one /made /numbers /copied/
COPY d/a /etc/group
-- d/a --
a
-- d/b --
b
`

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{meter: newMeter(t)}
	v.dir = v.context(victimBuildfile)
	if err := os.Mkdir(filepath.Join(v.lab.dir, "dest"), 0o755); err != nil {
		t.Fatal(err)
	}
	v.digest = v.mustMeasure(v.dir, v.args()...).digest()
	v.out = v.file()
	v.forget()
	return v
}

// args are the flags of the build. Its times do not depend on when it is done.
func (v *victim) args() []string {
	return []string{"--source-date-epoch", "1700000000", "-t", "victim:1", "-o", "type=image", "-o", "type=oci,dest=dest/out.tar"}
}

// line is the command line of the build, behind that of a program which starts it.
func (v *victim) line(before ...string) []string {
	return append(append(before, v.program), v.buildArgs(v.dir, v.args()...)...)
}

func (v *victim) file() [32]byte {
	v.Helper()
	data, err := os.ReadFile(filepath.Join(v.lab.dir, "dest", "out.tar"))
	if err != nil {
		v.Fatal(err)
	}
	return sha256.Sum256(data)
}

// forget makes the next build start from nothing.
func (v *victim) forget() {
	v.Helper()
	v.checkEmpty()
	v.clearDest()
}

func (v *victim) clearDest() {
	v.Helper()
	for _, name := range v.dest() {
		if err := os.Remove(filepath.Join(v.lab.dir, "dest", name)); err != nil {
			v.Fatal(err)
		}
	}
}

// dest lists the directory of the build's output.
func (v *victim) dest() []string {
	v.Helper()
	entries, err := os.ReadDir(filepath.Join(v.lab.dir, "dest"))
	if err != nil {
		v.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// checkOutput fails the test if the output is there and not whole.
func (v *victim) checkOutput() {
	v.Helper()
	for _, name := range v.dest() {
		if name == "out.tar" && v.file() != v.out {
			v.Error("half of the output is visible")
		}
	}
}

// checkRecovery runs the commands of somebody who finds a root that was left in a hurry.
func (v *victim) checkRecovery() {
	v.Helper()
	v.checkOutput()
	v.must(v.program, "--root", v.root, "images")
	v.checkResidue()
	if o := v.mustMeasure(v.dir, v.args()...); o.digest() != v.digest || v.file() != v.out {
		v.Errorf("the build after it gives %s, want %s", o.digest(), v.digest)
	}
	if images := v.must(v.program, "--root", v.root, "images"); strings.Count(images, "victim") != 1 {
		v.Errorf("the image should be listed once:\n%s", images)
	}
	v.checkResidue()
	v.forget()
}

func TestAKillAtAnyMomentLeavesARootThatWorks(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	start := time.Now()
	v.mustMeasure(v.dir, v.args()...)
	whole := time.Since(start)
	v.forget()

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, a whole build takes %v", seed, whole)
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds(6, 60) {
		pause := time.Duration(random.Int64N(int64(whole)))
		killed := v.stop(pause, syscall.SIGKILL)
		t.Logf("after %v: %v", pause, killed)
		v.checkRecovery()
		if t.Failed() {
			return
		}
	}
}

// stop starts the build, sends it a signal after a pause and returns how it ended.
func (v *victim) stop(pause time.Duration, signal syscall.Signal) *os.ProcessState {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), time.Minute)
	defer cancel()
	line := v.line()
	cmd := v.command(ctx, line[0], line[1:]...)
	if err := cmd.Start(); err != nil {
		v.Fatal(err)
	}
	time.Sleep(pause)
	_ = cmd.Process.Signal(signal) // it may have ended
	_ = cmd.Wait()
	return cmd.ProcessState
}

// changing are the calls that change what is on disk or mounted, and those that wait for it.
const changing = "fsync,fdatasync,syncfs,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat," +
	"ftruncate,fallocate,pwrite64,mount,umount2,move_mount,fsetxattr,lsetxattr,fchmodat,fchownat,utimensat,flock"

// TestAKillAtEverySystemCallLeavesARootThatWorks kills lbuild after the n-th call that it or its children make, for
// values of n from the first to the last.
func TestAKillAtEverySystemCallLeavesARootThatWorks(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.need("strace")
	total := v.killAfterCall(changing, 1<<30)
	v.forget()
	kills := rounds(10, 250)
	first := rand.IntN(max(total/kills, 1)) + 1
	t.Logf("a whole build makes %d calls; kills after call %d and every %d", total, first, max(total/kills, 1))
	for n := first; n < total; n += max(total/kills, 1) {
		v.killAfterCall(changing, n)
		v.checkRecovery()
		if t.Failed() {
			t.Fatalf("that was after call %d", n)
		}
	}
}

// killAfterCall runs the build under strace, kills it when it has made n of the calls, and returns how many there were.
// Each call takes a millisecond longer, so that few others come between it and the kill.
func (v *victim) killAfterCall(calls string, n int) int {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), time.Minute)
	defer cancel()
	line := v.line("strace", "-f", "-qq", "-o", "/proc/self/fd/3", "-e", "trace=execve,"+calls, "-e", "signal=none",
		"-e", "inject="+calls+":delay_exit=1000", "--seccomp-bpf")
	cmd := v.command(ctx, line[0], line[1:]...)
	trace, end, err := os.Pipe()
	if err != nil {
		v.Fatal(err)
	}
	defer trace.Close()
	cmd.ExtraFiles = []*os.File{end}
	err = cmd.Start()
	if err = errors.Join(err, end.Close()); err != nil {
		v.Fatal(err)
	}
	pid, seen := 0, 0
	for lines := bufio.NewScanner(trace); lines.Scan(); {
		if pid == 0 { // the first line is lbuild's own execve
			if _, err := fmt.Sscan(lines.Text(), &pid); err != nil {
				v.Fatalf("%q: %v", lines.Text(), err)
			}
		}
		if seen++; seen == n {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = cmd.Wait() // it was killed
	if ctx.Err() != nil || pid == 0 {
		v.Fatalf("strace: %v, after %d calls", cmd.ProcessState, seen)
	}
	return seen
}

func TestASignalAtAnyMomentLeavesNothing(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds(6, 40) {
		for signal, status := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
			pause := 20*time.Millisecond + time.Duration(random.Int64N(int64(700*time.Millisecond)))
			state := v.stop(pause, signal)
			// Go installs its handlers some milliseconds after the start; before that the signal itself ends the process.
			early := state.Sys().(syscall.WaitStatus).Signaled() && pause < 100*time.Millisecond
			if code := state.ExitCode(); code != status && code != 0 && !early {
				t.Errorf("%v after %v: %v, want status %d, or 0 if it was done", signal, pause, state, status)
			}
			if state.ExitCode() == status {
				v.checkResidue() // at once, before another command cleans up
				v.checkInterrupted()
			}
			v.forget()
		}
	}
}

// checkInterrupted fails the test if there is anything of an output that was not finished.
func (v *victim) checkInterrupted() {
	v.Helper()
	for _, name := range v.dest() {
		if name != "out.tar" || v.file() != v.out {
			v.Errorf("left beside the output: %s", name)
		}
	}
}

func TestAKilledExportShowsNothing(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.need("strace")
	v.mustMeasure(v.dir, v.args()...)
	const calls = "write,fsync,renameat"
	total, kills := v.killAfterCall(calls, 1<<30), rounds(6, 60)
	for n := range kills {
		v.clearDest()
		v.killAfterCall(calls, total-n*max(1, total/2/kills)) // the export is at the end
		v.checkOutput()
	}
	v.checkRecovery()
}

// TestKilledBuildsBesideALiveOne kills builds on a root on which another one runs, which must not notice.
func TestKilledBuildsBesideALiveOne(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	dir := v.context("-- Buildfile --\nFROM base\nRUN echo 1 >/1; sleep 1\nRUN echo 2 >/2; sleep 1\nRUN cat /1 /2 >/3; sleep 1\n")
	line := v.buildArgs(dir, "-o", "type=oci,tar=false,dest=live")
	live := v.command(t.Context(), v.program, line...)
	var out bytes.Buffer
	live.Stdout, live.Stderr = &out, &out
	if err := live.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		v.stop(time.Duration(i*100)*time.Millisecond, syscall.SIGKILL)
		v.must(v.program, "--root", v.root, "images")
		v.must(v.program, "--root", v.root, "prune", "--all")
	}
	if err := live.Wait(); err != nil {
		t.Fatalf("the live build: %v\n%s", err, out.String())
	}
	checkWhole(t, filepath.Join(v.lab.dir, "live"))
	v.checkRecovery()
}

// TestTheContainerOfAKilledBuildEnds kills a build in a step and looks whether the next command ends its container.
func TestTheContainerOfAKilledBuildEnds(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	word := "200" + strconv.Itoa(os.Getpid())
	dir := m.context("-- Buildfile --\nFROM base\nRUN trap '' TERM INT HUP; (setsid sleep " + word + " &); echo started; sleep " + word + "\n")
	m.killInStep(dir, "started")
	m.must(m.program, "--root", m.root, "version")
	m.must(m.program, "--root", m.root, "images")
	if left := processes(t, "sleep\x00"+word); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	m.checkResidue()
	m.checkEmpty()
}
