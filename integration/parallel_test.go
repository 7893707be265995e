package integration

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	lbuild "github.com/lbuild/lbuild/build"
)

// span is when a step ran.
type span struct{ start, end time.Time }

// spans are the steps that ran, by their line.
func (o outcome) spans() map[int]span {
	all := map[int]span{}
	for _, ev := range o.events {
		if ev.Type != lbuild.EventStep {
			continue
		}
		s := all[ev.Line]
		if ev.State == lbuild.StateStarted {
			s.start = ev.Time
		} else {
			s.end = ev.Time
		}
		all[ev.Line] = s
	}
	return all
}

func (s span) overlaps(o span) bool { return s.start.Before(o.end) && o.start.Before(s.end) }

func TestStagesThatNeedNothingOfEachOtherRunAtOnce(t *testing.T) {
	files := "-- Buildfile --\nFROM base AS one\nRUN echo 1 >/1; sleep 1\nFROM base AS two\nRUN echo 2 >/2; sleep 1\n" +
		"FROM base\nCOPY --from=one /1 /1\nCOPY --from=two /2 /2\n"
	for jobs, want := range map[string]bool{"1": false, "2": true} {
		t.Run("jobs "+jobs, func(t *testing.T) {
			m := newMeter(t)
			o := m.mustMeasure(m.context(files), "--jobs", jobs)
			if got := o.steps(); got != "2 done, 4 done, 6 done, 7 done; 2 run" {
				t.Errorf("got %s", got)
			}
			steps := o.spans()
			if got := steps[2].overlaps(steps[4]); got != want {
				t.Errorf("the stages run at the same time: %v, want %v: %v", got, want, steps)
			}
			if steps[6].overlaps(steps[2]) || steps[7].overlaps(steps[4]) {
				t.Errorf("COPY ran before its stage was done: %v", steps)
			}
		})
	}
}

func TestALayerIsPackedWhileTheNextStepRuns(t *testing.T) {
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nRUN seq 1 100000 >/1\nRUN sleep 2\n")
	o := m.mustMeasure(dir, "--jobs", "2")
	sleeping := o.spans()[3]
	for _, ev := range o.events {
		if ev.Type == lbuild.EventPack && ev.Line == 2 && ev.State == lbuild.StateDone {
			if !ev.Time.Before(sleeping.end) {
				t.Errorf("packed at %v, after the next step had ended at %v", ev.Time, sleeping.end)
			}
			return
		}
	}
	t.Errorf("no layer was packed:\n%s", o.stderr)
}

func TestEqualStepsOfTwoStagesRunOnce(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base AS one\nRUN echo same >/c; sleep 1\nRUN cat /c >/d\n" +
		"FROM base AS two\nRUN echo same >/c; sleep 1\nRUN cat /c >/e\nFROM base\nCOPY --from=one /d /\nCOPY --from=two /e /\n")
	o := m.mustMeasure(dir, "--jobs", "4")
	if got, want := o.runs, 3; got != want {
		t.Errorf("%d containers, want %d: %s", got, want, o.steps())
	}
}

// TestAFailureEndsTheOtherStages has one stage fail while another sleeps.
func TestAFailureEndsTheOtherStages(t *testing.T) {
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base AS one\nRUN sleep 60\nFROM base AS two\nRUN sleep 1; exit 7\nFROM base\n" +
		"COPY --from=one /etc/passwd /1\nCOPY --from=two /etc/passwd /2\n")
	start := time.Now()
	o := m.measure(dir, "--jobs", "2")
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if got, want := o.steps(), "2 canceled, 4 failed; 2 run"; o.code != 1 || got != want {
		t.Errorf("status %d, %s, want 1, %s", o.code, got, want)
	}
	m.checkResidue()
}

func TestBuildsBesideAPruneInALoop(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pruning, building sync.WaitGroup
	prunes := 0
	pruning.Go(func() {
		for ; ctx.Err() == nil; prunes++ {
			if out, err := m.command(t.Context(), m.program, "--root", m.root, "prune", "--all").CombinedOutput(); err != nil {
				t.Errorf("prune: %v\n%s", err, out)
			}
		}
	})
	for i := range 2 {
		dir := m.context(fmt.Sprintf("-- Buildfile --\nFROM base\nCOPY a /a\nRUN seq 1 9999 >/%d\nRUN cp -r /a /b\n"+
			"FROM base\nCOPY --from=0 /b /%d /\nCOPY a /c\n-- a/a --\na\n", i, i))
		building.Go(func() {
			for n := range rounds(4, 40) {
				m.measureInto(t, dir, fmt.Sprintf("out-%d-%d", i, n))
			}
		})
	}
	building.Wait()
	cancel()
	pruning.Wait()
	t.Logf("%d prunes meanwhile", prunes)
	found, err := filepath.Glob(filepath.Join(m.dir, "out-*"))
	if err != nil || len(found) != 2*rounds(4, 40) || prunes < 3 {
		t.Errorf("%d layouts beside %d prunes, %v", len(found), prunes, err)
	}
	for _, dir := range found {
		checkWhole(t, dir)
	}
	m.checkResidue()
	m.checkEmpty()
}

func TestABuildLosesNothingThatItUsesToRmi(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base\nRUN echo 1 >/1\n")
	m.mustMeasure(dir, "-t", "start:1")
	g := newGate(t)
	next := m.context("-- Buildfile --\nFROM start:1\nRUN " + g.wait() + "\nRUN cat /1 >/2\n")
	var building sync.WaitGroup
	building.Go(func() { m.measureInto(t, next, "out") })
	open := g.arrived()
	m.must(m.program, "--root", m.root, "rmi", "start:1")
	m.must(m.program, "--root", m.root, "prune", "--all")
	open()
	building.Wait()
	checkWhole(t, filepath.Join(m.dir, "out"))
	m.checkEmpty()
}

const fixedBuildfile = `-- Buildfile --
FROM base AS one
WORKDIR /work
COPY d d
RUN mkdir -p deep/er; cp d/* deep/er; ln deep/er/a hard; ln -s hard soft; chmod 4755 hard; chown app:app deep; mkfifo fifo
RUN rm -r d; mkdir d; touch d/new
FROM base AS two
RUN seq 1 50000 >/numbers; rm /etc/group
FROM one
COPY --from=two --chown=app /numbers /etc/passwd /copied/
COPY <<a <<b /doc/
one
a
two
b
ENV A=1
LABEL c=2 b=3 a=1
USER app
WORKDIR /home/app/sub
CMD ["sh", "-c", "env"]
-- d/a --
a
-- d/b --
b
-- d/c --
c
`

// surroundings are what must not matter for the image.
var surroundings = map[string]struct {
	env, args []string
	umask     string
	tmpfs     bool // the root's file system
	touch     bool // the context's times
}{
	"tight umask":           {umask: "077"},
	"open umask":            {umask: "000"},
	"another time zone":     {env: []string{"TZ=Pacific/Chatham"}},
	"another locale":        {env: []string{"LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8"}},
	"one processor":         {env: []string{"GOMAXPROCS=1"}},
	"two processors":        {env: []string{"GOMAXPROCS=2"}},
	"one job":               {args: []string{"--jobs", "1"}},
	"many jobs":             {args: []string{"--jobs", "7"}},
	"another user":          {env: []string{"HOME=/nonexistent", "USER=someone", "HOSTNAME=other"}},
	"a touched context":     {touch: true},
	"variables of its own":  {env: []string{"A=3", "SECRET=x"}},
	"another file system":   {tmpfs: true},
	"the cache's own bytes": {args: []string{"--no-cache"}},
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	first := newMeter(t)
	first.buildUnder("022", first.context(fixedBuildfile))
	want := first.must("sha256sum", images()...)
	for name, s := range surroundings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			m.env = s.env
			if s.tmpfs {
				m.mountTmpfs(m.root, "100m")
			}
			dir := m.context(fixedBuildfile)
			if s.touch {
				m.shell(dir, "touch -d 2033-03-03 d/b .")
			}
			m.buildUnder(cmp.Or(s.umask, "022"), dir, s.args...)
			if diff := gocmp.Diff(want, m.must("sha256sum", images()...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

var compressions = []string{"none", "gzip", "gzip:1", "gzip:9", "zstd", "zstd:9"}

// images are the files that buildUnder makes.
func images() []string {
	var names []string
	for _, c := range compressions {
		names = append(names, c+".tar")
	}
	return names
}

// buildUnder builds with a umask, as of a fixed time, in all compressions.
func (m *meter) buildUnder(umask, dir string, args ...string) {
	m.Helper()
	args = append(args, "--source-date-epoch", "1700000000")
	for _, c := range compressions {
		name, level, ok := strings.Cut(c, ":")
		out := "type=oci,dest=" + c + ".tar,compression=" + name
		if ok {
			out += ",compression-level=" + level
		}
		args = append(args, "-o", out)
	}
	script := "umask " + umask + "; exec " + m.program + ` "$@"`
	m.must("sh", append([]string{"-c", script, "sh"}, m.buildArgs(dir, args...)...)...)
}
