package integration

import (
	"bytes"
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

	gocmp "github.com/google/go-cmp/cmp"

	lbuild "github.com/lbuild/lbuild/build"
)

// attempt is one more build of a context.
type attempt struct {
	change string   // a shell script that changes the context before
	args   []string // flags of this build
	want   string   // of outcome.steps
	same   bool     // the image is that of the first build
}

// words splits flags without blanks in them.
func words(flags string) []string { return strings.Fields(flags) }

// scenarios are builds after builds. The lines in want are those of the Buildfile.
var scenarios = []struct {
	name     string
	files    string
	attempts []attempt
}{
	{
		name:  "the same again",
		files: "-- Buildfile --\nFROM base\nCOPY a b /\nRUN cat /a >/c\n-- a --\na\n-- b --\nb\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "a context that is copied elsewhere",
		files: "-- Buildfile --\nFROM base\nCOPY d /d\nRUN cat /d/* >/c\n-- d/a --\na\n-- d/b --\nb\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "cp -r d e; rm -r d; mv e d", want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "touched",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "touch -d 2001-02-03 a .", want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "a changed byte and back",
		files: "-- Buildfile --\nFROM base\nRUN echo before >/before\nCOPY a /a\nRUN cat /a >/c\nCOPY b /b\nRUN echo after >/after\n-- a --\naaa\n-- b --\nb\n",
		attempts: []attempt{
			{want: "2 done, 3 done, 4 done, 5 done, 6 done; 3 run"},
			{change: "printf 'aab\n' >a", want: "2 cached, 3 done, 4 done, 5 done, 6 done; 2 run"},
			{change: "printf 'aaa\n' >a", want: "2 cached, 3 cached, 4 cached, 5 cached, 6 cached; 0 run", same: true},
			{change: "printf 'c\n' >b", want: "2 cached, 3 cached, 4 cached, 5 done, 6 done; 1 run"},
		},
	},
	{
		name:  "a changed byte that keeps size and mtime",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\n-- a --\naaa\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "touch -r a ref; printf 'aab\n' >a; touch -r ref a; rm ref", want: "2 done; 0 run"},
		},
	},
	{
		name:  "a file more and a link",
		files: "-- Buildfile --\nFROM base\nCOPY d /d\n-- d/a --\na\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "echo b >d/b", want: "2 done; 0 run"},
			{change: "mv d/b d/c", want: "2 done; 0 run"},
			{change: "ln -s a d/l", want: "2 done; 0 run"},
			{change: "ln -sfn c d/l", want: "2 done; 0 run"},
			{change: "rm d/l d/c", want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "a changed mode",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN ls -l /a >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "chmod 755 a", want: "2 done, 3 done; 1 run"},
			{change: "chmod 644 a", want: "2 cached, 3 cached; 0 run", same: true},
		},
	},
	{
		name:  "a mode and an owner of the Buildfile's",
		files: "-- Buildfile --\nFROM base\nCOPY --chown=1 --chmod=600 a /a\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "sed -i s/600/640/ Buildfile", want: "2 done; 0 run"},
			{change: "sed -i s/chown=1/chown=2/ Buildfile", want: "2 done; 0 run"},
			{change: "sed -i 's/chown=2/chown=1/; s/640/600/' Buildfile", want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "an ARG that RUN sees",
		files: "-- Buildfile --\nFROM base\nRUN echo before >/before\nARG A=1\nRUN echo $A >/c\nCOPY a /a\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 4 done, 5 done; 2 run"},
			{args: words("--build-arg A=2"), want: "2 cached, 4 done, 5 done; 1 run"},
			{args: words("--build-arg A=1"), want: "2 cached, 4 cached, 5 cached; 0 run", same: true},
		},
	},
	{
		name:  "an ARG that is declared before FROM, and again",
		files: "-- Buildfile --\nARG A=1\nFROM base\nRUN echo before >/before\nARG A\nRUN echo $A >/c\n",
		attempts: []attempt{
			{want: "3 done, 5 done; 2 run"},
			{args: words("--build-arg A=2"), want: "3 cached, 5 done; 1 run"},
		},
	},
	{
		name:  "an ARG that is declared later",
		files: "-- Buildfile --\nFROM base\nRUN echo x >/c\nARG A=1\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--build-arg A=2"), want: "2 cached; 0 run"},
		},
	},
	{
		name:  "an ARG of another stage",
		files: "-- Buildfile --\nFROM base AS one\nARG A=1\nRUN echo $A >/c\nFROM base\nRUN echo x >/x\nCOPY --from=one /etc/passwd /p\n",
		attempts: []attempt{
			{want: "3 done, 5 done, 6 done; 2 run"},
			{args: words("--build-arg A=2"), want: "3 done, 5 cached, 6 cached; 1 run", same: true},
		},
	},
	{
		name:  "an ARG that nobody declares",
		files: "-- Buildfile --\nFROM base\nRUN echo x >/c\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--build-arg OTHER=2"), want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "an ARG that ENV hides",
		files: "-- Buildfile --\nFROM base\nARG A=1\nENV A=env\nRUN echo $A >/c\n",
		attempts: []attempt{
			{want: "4 done; 1 run"},
			{args: words("--build-arg A=2"), want: "4 cached; 0 run"},
		},
	},
	{
		name:  "ENV",
		files: "-- Buildfile --\nFROM base\nCOPY a /before\nENV A=1\nCOPY a /a\nRUN echo $A >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 4 done, 5 done; 1 run"},
			{change: "sed -i s/A=1/A=2/ Buildfile", want: "2 cached, 4 cached, 5 done; 1 run"},
		},
	},
	{
		name:  "USER and WORKDIR and SHELL",
		files: "-- Buildfile --\nFROM base\nUSER 0\nRUN pwd >/tmp/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "3 done; 1 run"},
			{change: "sed -i 's/USER .*/USER app/' Buildfile", want: "3 done; 1 run"},
			{change: "sed -i 's/USER .*/WORKDIR \\/tmp/' Buildfile", want: "2 done, 3 done; 1 run"},
			{change: "sed -i 's/WORKDIR .*/SHELL [\"sh\",\"-xc\"]/' Buildfile", want: "3 done; 1 run"},
			{change: "sed -i 's/SHELL .*/USER 0/' Buildfile", want: "3 cached; 0 run", same: true},
		},
	},
	{
		name:  "LABEL and other metadata",
		files: "-- Buildfile --\nFROM base\nLABEL a=1\nRUN echo x >/c\n",
		attempts: []attempt{
			{want: "3 done; 1 run"},
			{change: "sed -i s/a=1/a=2/ Buildfile", want: "3 cached; 0 run"},
			{change: "sed -i 's/LABEL.*/EXPOSE 80/' Buildfile", want: "3 cached; 0 run"},
			{args: words("--label b=1 -t other"), want: "3 cached; 0 run"},
		},
	},
	{
		name:  "comments and blank lines",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/c\n-- a --\na\n-- .dockerignore --\nBuildfile\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "sed -i 's/^RUN/\\n# why\\n\\nRUN/' Buildfile", want: "2 cached, 6 cached; 0 run", same: true},
		},
	},
	{
		name:  "a stage that is made again, the same",
		files: "-- Buildfile --\nFROM base AS one\nRUN echo made >/made\nFROM base\nCOPY --from=one /made /made\nRUN cat /made >/c\n",
		attempts: []attempt{
			{want: "2 done, 4 done, 5 done; 2 run"},
			{args: words("--no-cache-filter one"), want: "2 done, 4 cached, 5 cached; 1 run", same: true},
			{change: "sed -i 's/echo made/:; echo made/' Buildfile", want: "2 done, 4 cached, 5 cached; 1 run", same: true},
			{change: "sed -i 's/:; echo made/echo other/' Buildfile", want: "2 done, 4 done, 5 done; 2 run"},
		},
	},
	{
		name:  "without the cache",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\nRUN cat /a >/c\n-- a --\na\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{args: words("--no-cache"), want: "2 done, 3 done; 1 run"},
			{want: "2 cached, 3 cached; 0 run"},
		},
	},
	{
		name:  "what .dockerignore leaves out",
		files: "-- Buildfile --\nFROM base\nCOPY . /d\nRUN ls /d >/c\n-- a --\na\n-- log/x --\n1\n-- .dockerignore --\nlog\n*.tmp\n!keep.tmp\n",
		attempts: []attempt{
			{want: "2 done, 3 done; 1 run"},
			{change: "echo 2 >log/x; echo 3 >log/y; echo 4 >a.tmp", want: "2 cached, 3 cached; 0 run", same: true},
			{change: "echo 5 >keep.tmp", want: "2 done, 3 done; 1 run"},
		},
	},
	{
		name:  "what nobody copies",
		files: "-- Buildfile --\nFROM base\nCOPY a /a\n-- a --\na\n-- b --\nb\n",
		attempts: []attempt{
			{want: "2 done; 0 run"},
			{change: "echo other >b; mkdir more", want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "another compression",
		files: "-- Buildfile --\nFROM base\nRUN echo x >/c\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--compression zstd"), want: "2 cached; 0 run"},
			{want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "other hosts and network",
		files: "-- Buildfile --\nFROM base\nRUN cat /etc/hosts >/c\n",
		attempts: []attempt{
			{want: "2 done; 1 run"},
			{args: words("--add-host a:10.0.0.1"), want: "2 done; 1 run"},
			{args: words("--network none"), want: "2 done; 1 run"},
			{want: "2 cached; 0 run", same: true},
		},
	},
	{
		name:  "a RUN of the same text in two stages",
		files: "-- Buildfile --\nFROM base AS one\nRUN echo x >/c\nFROM base AS two\nRUN echo x >/c\nFROM base\nCOPY --from=one /c /1\nCOPY --from=two /c /2\n",
		attempts: []attempt{
			{want: "2 cached, 4 done, 6 done, 7 done; 1 run"},
			{want: "2 cached, 4 cached, 6 cached, 7 cached; 0 run", same: true},
		},
	},
	{
		name:  "heredocs",
		files: "-- Buildfile --\nFROM base\nCOPY <<a /a\none\na\nRUN <<b\ncat /a >/c\nb\n",
		attempts: []attempt{
			{want: "2 done, 5 done; 1 run"},
			{change: "sed -i s/one/two/ Buildfile", want: "2 done, 5 done; 1 run"},
			{change: "sed -i 's/two/one/; s/cat/tac/' Buildfile", want: "2 cached, 5 done; 1 run"},
		},
	},
}

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
	for _, args := range [][]string{nil, {"--build-arg", "http_proxy=http://other"}, {"--build-arg", "HTTPS_PROXY=x", "--build-arg", "no_proxy=y"}} {
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

// spoilers do what may happen to a blob's file.
var spoilers = map[string]func(name string) error{
	"a flipped byte": func(name string) error {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(name, data, 0o600)
	},
	"a flipped byte and the old times": func(name string) error {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return err
		}
		return os.Chtimes(name, info.ModTime(), info.ModTime())
	},
	"cut short": func(name string) error { return os.Truncate(name, 10) },
	"emptied":   func(name string) error { return os.Truncate(name, 0) },
	"deleted":   os.Remove,
}

// TestDamagedBlobsAreMadeAgain damages every blob of an image: layers of the build and of its base, config and manifest.
func TestDamagedBlobsAreMadeAgain(t *testing.T) {
	for name, spoil := range spoilers {
		if !long && (name == "emptied" || name == "a flipped byte") {
			continue // the others show as much
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			dir := m.context("-- Buildfile --\nFROM base\nCOPY a /a\nRUN seq 1 10000 >/c\n-- a --\na\n")
			first := m.mustMeasure(dir)
			for _, blob := range m.entries("content/blobs/sha256") {
				if err := spoil(filepath.Join(m.root, "content/blobs/sha256", blob)); err != nil {
					t.Fatal(err)
				}
				o := m.measure(dir, "-o", "type=oci,tar=false,dest=out-"+blob, "-o", "type=image")
				if o.code != 0 {
					t.Errorf("%s: status %d\n%s", blob, o.code, o.stderr)
					continue
				}
				if o.digest() != first.digest() || o.runs != 0 {
					t.Errorf("%s: the image is %s after %d runs, want %s after none", blob, o.digest(), o.runs, first.digest())
				}
				checkWhole(t, filepath.Join(m.dir, "out-"+blob))
			}
			m.checkStore(first.digest())
			m.checkResidue()
		})
	}
}

// checkStore fails the test unless the image that the store holds is whole.
func (m *meter) checkStore(digest string) {
	m.Helper()
	m.must(m.program, "--root", m.root, "tag", digest, "whole:1")
	m.must(m.program, "--root", m.root, "save", "-o", "whole.tar", "whole:1")
	m.need("skopeo")
	raw := m.must("skopeo", "inspect", "--raw", "oci-archive:whole.tar")
	var manifest struct{ Layers []any }
	if err := json.NewDecoder(bytes.NewReader([]byte(raw))).Decode(&manifest); err != nil || len(manifest.Layers) == 0 {
		m.Errorf("manifest %s: %v", raw, err)
	}
	m.must("skopeo", "copy", "-q", "oci-archive:whole.tar", "dir:whole")
}

func TestDamagedBaseIsReadAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nRUN echo x >/c\n")
	before := m.context("-- Buildfile --\nFROM base\n")
	m.mustMeasure(before) // only the base's blobs are there
	for _, blob := range m.entries("content/blobs/sha256") {
		if err := spoilers["a flipped byte"](filepath.Join(m.root, "content/blobs/sha256", blob)); err != nil {
			t.Fatal(err)
		}
	}
	o := m.mustMeasure(dir, "-o", "type=oci,tar=false,dest=out")
	checkWhole(t, filepath.Join(m.dir, "out"))
	fresh := newMeter(t)
	want := fresh.mustMeasure(dir, "--source-date-epoch", "1", "-o", "type=local,dest=tree")
	got := m.mustMeasure(dir, "--source-date-epoch", "1", "-o", "type=local,dest=tree")
	if diff := gocmp.Diff(want.code, got.code); diff != "" || o.runs != 1 {
		t.Errorf("%d runs; %s", o.runs, diff)
	}
	m.must("diff", "-r", "--no-dereference", filepath.Join(m.dir, "tree"), filepath.Join(fresh.dir, "tree"))
}

func TestDamagedImageOfARegistryIsFetchedAgain(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	name := m.registry() + "/base:1"
	m.need("skopeo")
	m.must("skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:"+programs.base+":latest", "docker://"+name)
	dir := m.context("-- Buildfile --\nFROM " + name + "\nRUN echo x >/c\n")
	first := m.mustMeasure(dir)
	for _, blob := range m.entries("content/blobs/sha256") {
		if err := spoilers["a flipped byte"](filepath.Join(m.root, "content/blobs/sha256", blob)); err != nil {
			t.Fatal(err)
		}
		o := m.measure(dir, "-o", "type=oci,tar=false,dest=out-"+blob)
		if o.code != 0 || o.digest() != first.digest() || o.runs != 0 {
			t.Errorf("%s: status %d, image %s after %d runs, want %s after none\n%s", blob, o.code, o.digest(), o.runs, first.digest(), o.stderr)
			continue
		}
		checkWhole(t, filepath.Join(m.dir, "out-"+blob))
	}
	m.checkResidue()
}
