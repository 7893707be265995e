package integration

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	lbuild "github.com/lbuild/lbuild/build"
)

// These are the cases that the engine was argued by: see "The engine" in ARCHITECTURE.md.

// wantSteps fails the test unless a build went as it should.
func (o outcome) wantSteps(t *testing.T, what, want string) {
	t.Helper()
	if got := o.steps(); got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// TestAHitStandsOnTheResultThatItWasMadeOn has a step with two results, because it ran twice and its output differs. What
// stands on each is found on it and on no other, and of the two the one is taken on which more is remembered, although the
// other is newer.
func TestAHitStandsOnTheResultThatItWasMadeOn(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base AS one\nRUN cat /proc/sys/kernel/random/uuid >/id\n" +
		"FROM one\nRUN cp /id /copy\nCOPY a /a\nRUN cp /id /more\n-- a --\na\n")
	id := func() string {
		t.Helper()
		m.mustMeasure(dir, "-o", "type=local,dest=tree").wantSteps(t, "local", "2 cached, 4 cached, 5 cached, 6 cached; 0 run")
		files := map[string]bool{}
		for _, name := range []string{"id", "copy", "more"} {
			data, err := os.ReadFile(filepath.Join(m.dir, "tree", name))
			if err != nil {
				t.Fatal(err)
			}
			files[string(data)] = true
		}
		if len(files) != 1 {
			t.Errorf("the tree is of several results: %v", files)
		}
		for name := range files {
			return name
		}
		return ""
	}
	a := m.mustMeasure(dir)
	a.wantSteps(t, "the first build", "2 done, 4 done, 5 done, 6 done; 3 run")
	ofA := id()

	again := []string{"--no-cache-filter", "one"}
	m.mustMeasure(dir, append(again, "--target", "one")...).wantSteps(t, "a newer result, with nothing on it", "2 done; 1 run")
	longest := m.mustMeasure(dir)
	longest.wantSteps(t, "the longer chain", "2 cached, 4 cached, 5 cached, 6 cached; 0 run")
	if longest.digest() != a.digest() || id() != ofA {
		t.Error("the build with two results to choose from is another image")
	}

	b := m.mustMeasure(dir, again...)
	b.wantSteps(t, "all anew on a third result", "2 done, 4 done, 5 done, 6 done; 3 run")
	if b.digest() == a.digest() || id() == ofA {
		t.Error("of equally long chains, the newer is to be taken")
	}
}

// TestATreeThatIsOnlyALayerIsMadeWhenItIsRead builds a stage whose tree nobody needs, and later one that reads it and one
// that stands on it.
func TestATreeThatIsOnlyALayerIsMadeWhenItIsRead(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	const one = "-- Buildfile --\nFROM base AS one\nCOPY d /d\n"
	const all = one + "FROM one AS two\nRUN cat /d/* >/sum\nFROM scratch\nCOPY --from=one /d /d\nCOPY --from=two /sum /sum\n"
	const files = "-- d/a --\na\n-- d/b --\nb\n"
	epoch := []string{"--source-date-epoch", "1700000000"}
	m.mustMeasure(m.context(one+files), epoch...).wantSteps(t, "the layer", "2 done; 0 run")
	o := m.mustMeasure(m.context(all+files), epoch...)
	o.wantSteps(t, "its tree", "2 cached, 4 done, 6 done, 7 done; 1 run")
	fresh := newMeter(t)
	if want := fresh.mustMeasure(fresh.context(all+files), epoch...).digest(); o.digest() != want {
		t.Errorf("got %s, want %s as in an empty store", o.digest(), want)
	}
}

// TestPlatformsShareAStageOfTheBuildPlatform has one stage that both images copy from: its step is one node.
func TestPlatformsShareAStageOfTheBuildPlatform(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM --platform=$BUILDPLATFORM base AS one\nRUN cat /proc/sys/kernel/random/uuid >/made\n" +
		"FROM scratch\nARG TARGETARCH\nCOPY --from=one /made /$TARGETARCH\n")
	o := m.mustMeasure(dir, "--platform", "linux/amd64,linux/arm64", "-o", "type=oci,tar=false,dest=out")
	if o.runs != 1 {
		t.Errorf("%d containers, want 1: %s", o.runs, o.steps())
	}
	out := filepath.Join(m.dir, "out")
	checkWhole(t, out)
	if got := len(platformsOf(t, out)); got != 2 {
		t.Errorf("the index has %d images, want 2", got)
	}
}

// platformsOf lists the images of the only index in a layout.
func platformsOf(t *testing.T, dir string) []v1.Descriptor {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := outer.IndexManifest()
	if err != nil || len(list.Manifests) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	inner, err := outer.ImageIndex(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = inner.IndexManifest(); err != nil {
		t.Fatal(err)
	}
	return list.Manifests
}

// TestACopyHasTheEpochInTheTreeToo has a RUN look at times of files whose layer an earlier build packed without a tree, and
// of files that it copied itself: both are the epoch.
func TestACopyHasTheEpochInTheTreeToo(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	const first = "-- Buildfile --\nFROM base\nCOPY d /d\n"
	const more = "RUN stat -c '%n %Y' /d/a /d/b /d >/times; cat /times\n"
	const files = "-- d/a --\na\n-- d/b --\nb\n"
	epoch := []string{"--source-date-epoch", "1600000000"}
	m.mustMeasure(m.context(first+files), epoch...).wantSteps(t, "the layer", "2 done; 0 run")
	unpacked := m.mustMeasure(m.context(first+more+files), epoch...)
	unpacked.wantSteps(t, "a RUN on it", "2 cached, 3 done; 1 run")
	if got := strings.Count(unpacked.stderr, " 1600000000\""); got != 3 {
		t.Errorf("%d of 3 times are the epoch:\n%s", got, unpacked.stderr)
	}
	fresh := newMeter(t)
	copied := fresh.mustMeasure(fresh.context(first+more+files), epoch...)
	if copied.digest() != unpacked.digest() {
		t.Errorf("got %s, want %s as without the layer", unpacked.digest(), copied.digest())
	}
}

// TestALayerThatIsLostIsMadeAgain damages, or removes, the blob that is all there is of a step: the step runs again,
// whether its layer or its tree is needed.
func TestALayerThatIsLostIsMadeAgain(t *testing.T) {
	t.Parallel()
	const first = "-- Buildfile --\nFROM base\nCOPY d /d\n"
	const files = "-- d/a --\na\n-- d/b --\nb\n"
	for name, lose := range map[string]func(path string) error{
		"damaged": func(path string) error { return os.WriteFile(path, []byte("no layer"), 0o644) },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			epoch := []string{"--source-date-epoch", "1700000000"}
			dir := m.context(first + files)
			o := m.mustMeasure(dir, epoch...)
			lost := func() {
				t.Helper()
				_, hash, _ := strings.Cut(o.packed(2), ":")
				if err := lose(filepath.Join(m.root, "content", "blobs", "sha256", hash)); err != nil {
					t.Fatal(err)
				}
			}
			lost()
			again := m.mustMeasure(dir, epoch...)
			again.wantSteps(t, "its layer", "2 done; 0 run")
			if again.digest() != o.digest() {
				t.Errorf("got %s, want %s", again.digest(), o.digest())
			}
			lost()
			m.mustMeasure(m.context(first+"RUN cat /d/a\n"+files), epoch...).wantSteps(t, "its tree", "2 done, 3 done; 1 run")
		})
	}
}

// packed is the digest of the layer that a line's step was packed as.
func (o outcome) packed(line int) string {
	for _, ev := range o.events {
		if ev.Type == lbuild.EventPack && ev.Line == line && ev.Digest != "" {
			return ev.Digest
		}
	}
	return ""
}

// TestTwoProcessesRunAStepOnce starts two builds at one step, and kills one in some: the other waits for it, and takes over
// when it dies.
func TestTwoProcessesRunAStepOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kill bool
		runs int
	}{"both live": {false, 1}, "the first is killed": {true, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			dir := m.context("-- Buildfile --\nFROM base\nRUN echo started; sleep 2; cat /proc/sys/kernel/random/uuid >/id\n")
			first := m.command(t.Context(), m.program, m.buildArgs(dir)...)
			stderr, err := first.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stderr)
			for lines.Scan() && !strings.Contains(lines.Text(), `"text":"started"`) {
			}
			second := make(chan error, 1)
			other := m.command(t.Context(), m.program, m.buildArgs(dir)...)
			var out strings.Builder
			other.Stderr = &out
			go func() { second <- other.Run() }()
			time.Sleep(time.Second)
			if test.kill {
				if err := first.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			for lines.Scan() {
			}
			if err := first.Wait(); (err != nil) != test.kill {
				t.Errorf("the first build: %v", err)
			}
			if err := <-second; err != nil {
				t.Errorf("the second build: %v\n%s", err, out.String())
			}
			if got := m.counted(); got != test.runs {
				t.Errorf("%d containers, want %d", got, test.runs)
			}
			if locks := m.entries("locks"); len(locks) > 0 {
				t.Errorf("locks are left: %v", locks)
			}
			m.mustMeasure(dir).wantSteps(t, "afterwards", "2 cached; 0 run")
			m.checkResidue()
		})
	}
}

// TestBuildsAtOnceGiveOneImage builds one file three times at once, without an epoch: each step runs in one of the builds
// and the others take its result, time and all.
func TestBuildsAtOnceGiveOneImage(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	dir := m.context("-- Buildfile --\nFROM base AS one\nCOPY a /a\nRUN cat /proc/sys/kernel/random/uuid >/id\n" +
		"FROM base\nRUN sleep 1\nCOPY --from=one /id /id\nCOPY a /a\n-- a --\na\n")
	var digests [3]string
	var group sync.WaitGroup
	for i := range digests {
		group.Go(func() {
			out, err := m.command(t.Context(), m.program, m.buildArgs(dir)...).Output()
			if err != nil {
				t.Error(err)
			}
			digests[i] = string(out)
		})
	}
	group.Wait()
	if digests[0] != digests[1] || digests[0] != digests[2] || m.counted() != 2 {
		t.Errorf("%d containers, want 2; digests %q", m.counted(), digests)
	}
}

// TestAStepStartsAsSoonAsWhatItReadsIsThere has a stage that is read only at the end of another: it does not wait for the
// instruction that reads it. With one job they follow each other.
func TestAStepStartsAsSoonAsWhatItReadsIsThere(t *testing.T) {
	t.Parallel()
	for jobs, want := range map[string]bool{"1": false, "4": true} {
		t.Run("jobs "+jobs, func(t *testing.T) {
			t.Parallel()
			m := newMeter(t)
			dir := m.context("-- Buildfile --\nFROM base AS a\nRUN sleep 2\nFROM base AS b\nRUN sleep 2; echo b >/b\n" +
				"FROM a\nCOPY --from=b /b /b\nRUN cat /b\n")
			o := m.mustMeasure(dir, "--jobs", jobs)
			o.wantSteps(t, "steps", "2 done, 4 done, 6 done, 7 done; 3 run")
			steps := o.spans()
			if got := steps[4].overlaps(steps[2]); got != want {
				t.Errorf("the steps run at the same time: %v, want %v: %v", got, want, steps)
			}
			if steps[6].start.Before(steps[4].end) || steps[6].start.Before(steps[2].end) {
				t.Errorf("COPY ran too soon: %v", steps)
			}
		})
	}
}

// TestTheKeyOfARunHasWhatItCanSee has builds that differ in one thing from one before: those that a command can see run
// it again, and others do not.
func TestTheKeyOfARunHasWhatItCanSee(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	plain := m.context("-- Buildfile --\nFROM base\nRUN echo x >/c\n")
	declared := m.context("-- Buildfile --\nFROM base\nARG HTTP_PROXY\nRUN echo x >/c\n")
	for _, test := range []struct {
		name  string
		dir   string
		flags string
		runs  int
	}{
		{"nothing", plain, "", 1},
		{"nothing again", plain, "", 0},
		{"shared memory", plain, "--shm-size 32m", 1},
		{"other shared memory", plain, "--shm-size 48m", 1},
		{"a limit", plain, "--ulimit nofile=100", 1},
		{"a higher hard limit", plain, "--ulimit nofile=100:200", 1},
		{"the same limits again", plain, "--ulimit nofile=100:200", 0},
		{"no network", plain, "--network none", 1},
		{"the default network", plain, "--network default", 0},
		{"a host", plain, "--add-host a:10.0.0.1", 1},
		{"another address of it", plain, "--add-host a:10.0.0.2", 0},
		{"another host", plain, "--add-host b:10.0.0.1", 1},
		{"one job", plain, "--jobs 1", 0},
		{"a proxy that nothing declares", plain, "--build-arg HTTP_PROXY=http://p", 0},
		{"a proxy in small letters", plain, "--build-arg https_proxy=http://p", 0},
		{"an argument that nothing declares", plain, "--build-arg X=1", 0},
		{"a declared proxy without a value", declared, "", 0},
		{"a declared proxy", declared, "--build-arg HTTP_PROXY=http://p", 1},
		{"another declared proxy", declared, "--build-arg HTTP_PROXY=http://q", 1},
		{"the first declared proxy again", declared, "--build-arg HTTP_PROXY=http://p", 0},
	} {
		if o := m.mustMeasure(test.dir, words(test.flags)...); o.runs != test.runs {
			t.Errorf("%s: %d containers, want %d: %s", test.name, o.runs, test.runs, o.steps())
		}
	}
}
