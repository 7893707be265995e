package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	lbuild "github.com/lbuild/lbuild/build"
)

func TestStepsRunAgainOnlyWhereTheirInputChanged(t *testing.T) {
	for _, test := range scenarios {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			dir := m.context(test.files)
			first := ""
			for i, a := range test.attempts {
				m.shell(dir, a.change)
				o := m.mustMeasure(dir, a.args...)
				first = cmp.Or(first, o.digest())
				if got := o.steps(); !sameSteps(got, a.want) {
					t.Errorf("build %d: got %s, want %s", i+1, got, a.want)
				}
				if got := o.digest() == first; i > 0 && a.same && !got {
					t.Errorf("build %d: the image is another than the first build's", i+1)
				}
			}
			m.checkResidue()
		})
	}
}

// sameSteps lets the first of two equal steps be either of them: stages start in any order.
func sameSteps(got, want string) bool {
	return got == want || strings.Replace(want, "2 cached, 4 done", "2 done, 4 cached", 1) == got && strings.HasSuffix(want, "7 done; 1 run")
}

func TestProxiesChangeNothingAndAreNowhere(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nARG no_proxy\nRUN echo ${http_proxy:+proxy is set}\n")
	const secret = "http://user:word@proxy"
	o := m.mustMeasure(dir, "--build-arg", "http_proxy="+secret, "-t", "p", "-o", "type=oci,dest=p.tar,tar=false", "-o", "type=image")
	if !strings.Contains(o.stderr, "proxy is set") {
		t.Errorf("RUN does not see the proxy:\n%s", o.stderr)
	}
	for _, args := range [][]string{nil, {"--build-arg", "http_proxy=http://other"}, {"--build-arg", "HTTPS_PROXY=x", "--build-arg", "ftp_proxy=y"}} {
		again := m.mustMeasure(dir, args...)
		if got, want := again.steps(), "3 cached; 0 run"; got != want || again.digest() != o.digest() {
			t.Errorf("%v: got %s and digest %s, want %s and %s", args, got, again.digest(), want, o.digest())
		}
	}
	for _, where := range []string{m.root, filepath.Join(m.dir, "p.tar")} {
		if r := m.exec("grep", "-r", "-l", "-a", secret, where); r.code != 1 {
			t.Errorf("the proxy's password is in %s%s", r.stdout, r.stderr)
		}
	}
	if out := m.must(m.program, "--root", m.root, "history", "--no-trunc", "p"); strings.Contains(out, "proxy@") || strings.Contains(out, secret) {
		t.Errorf("the proxy is in the history:\n%s", out)
	}
}

func TestAnotherBaseRunsEverythingAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM start\nCOPY a /a\nRUN cat /a >/c\n-- a --\na\n")
	other := m.context("-- Buildfile --\nFROM base\nCOPY a /other\n-- a --\na\n")
	m.mustMeasure(other, "-o", "type=oci,tar=false,dest=other")
	first := m.mustMeasure(dir, "--build-context", "start=oci-layout://"+programs.base)
	second := m.mustMeasure(dir, "--build-context", "start=oci-layout://"+filepath.Join(m.dir, "other"))
	if got, want := second.steps(), "2 done, 3 done; 1 run"; got != want {
		t.Errorf("on another base: got %s, want %s", got, want)
	}
	back := m.mustMeasure(dir, "--build-context", "start=oci-layout://"+programs.base)
	if got, want := back.steps(), "2 cached, 3 cached; 0 run"; got != want || back.digest() != first.digest() {
		t.Errorf("on the first base again: got %s, want %s", got, want)
	}
}

func TestTwoProcessesBuildTheSameAtOnce(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/c; sleep 1\nRUN echo more >/more\n-- a --\na\n")
	var group sync.WaitGroup
	for i := range 2 {
		group.Go(func() { m.measureInto(t, dir, fmt.Sprint("out", i)) })
	}
	group.Wait()
	for i := range 2 {
		checkWhole(t, filepath.Join(m.dir, fmt.Sprint("out", i)))
	}
	if got, want := m.mustMeasure(dir).steps(), "2 cached, 3 cached, 4 cached; 0 run"; got != want {
		t.Errorf("afterwards: got %s, want %s", got, want)
	}
	m.checkResidue()
	m.checkEmpty()
}

// measureInto builds dir as a layout in dest. It may be called from any goroutine.
func (m *meter) measureInto(t *testing.T, dir, dest string, args ...string) {
	args = append(args, "-o", "type=oci,tar=false,dest="+dest)
	out, err := m.command(t.Context(), m.program, m.buildArgs(dir, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("build of %s: %v\n%s", dest, err, out)
	}
}

func TestNothingOfAKilledStepIsUsed(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	word := fmt.Sprint("100", os.Getpid())
	dir := m.context("-- Buildfile --\nFROM base\nRUN echo before >/before\nRUN test -e /wait || { echo half >/half; echo started; sleep " + word +
		"; }; cat /half >/c || echo whole >/c\n-- a --\na\n")
	m.killInStep(dir, "started")
	m.must(m.program, "--root", m.root, "images")
	m.checkResidue()
	if left := processes(t, "sleep\x00"+word); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	m.shell(dir, "sed -i 's/^RUN test.*/RUN cat \\/half; echo whole >\\/c/' Buildfile")
	r := m.measure(dir, "-o", "type=local,dest=tree")
	if r.code != 0 || r.steps() != "2 cached, 3 done; 1 run" {
		t.Fatalf("status %d, %s\n%s", r.code, r.steps(), r.stderr)
	}
	if _, err := os.Lstat(filepath.Join(m.dir, "tree", "half")); !os.IsNotExist(err) {
		t.Error("a file of the killed step is in the image")
	}
	m.checkEmpty()
}

func TestAKilledStepRunsAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nRUN echo before >/before\nRUN echo started; sleep 2; echo whole >/c\n")
	m.killInStep(dir, "started")
	if got, want := m.mustMeasure(dir).steps(), "2 cached, 3 done; 1 run"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	m.checkResidue()
	m.checkEmpty()
}

// killInStep starts a build and kills lbuild when a step has printed word.
func (m *meter) killInStep(dir, word string) {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), time.Minute)
	defer cancel()
	cmd := m.command(ctx, m.program, m.buildArgs(dir)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		m.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	seen := false
	for lines := json.NewDecoder(stderr); ; {
		var ev lbuild.Event
		if lines.Decode(&ev) != nil {
			break
		}
		if ev.Type == lbuild.EventLog && ev.Text == word {
			seen = true
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				m.Fatal(err)
			}
			break
		}
	}
	_ = cmd.Wait() // it was killed
	if !seen {
		m.Fatalf("the step never printed %q", word)
	}
}

func TestAFailedStepIsNotUsed(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nRUN echo before >/before\nRUN echo half >/half; exit 3\n")
	for range 2 {
		o := m.measure(dir)
		if o.code != 1 || !strings.Contains(o.steps(), "3 failed; ") || !strings.Contains(o.stderr, "exit status 3") {
			t.Errorf("got status %d, %s:\n%s", o.code, o.steps(), o.stderr)
		}
		m.checkResidue()
	}
	if got, want := m.counted(), 3; got != want {
		t.Errorf("%d containers, want %d: the first step once, the failing one twice", got, want)
	}
	m.checkEmpty()
}
