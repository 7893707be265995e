package build_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// randomFile is a Buildfile of random stages, and what is known of its steps. All paths are from a small set, so that equal
// steps, which are one node, and copies over each other occur.
type randomFile struct {
	lines     []string
	stages    []*randomStage
	steps     map[int]*randomStep // by line
	platforms []ocispec.Platform
	runs      int  // RUNs that may still come
	fails     bool // some step of some stage fails
}

type randomStage struct {
	name  string
	top   *randomStep // nil: the empty tree
	files []string    // that COPY can take from it
	shell bool        // it has a busybox
}

// randomStep is an instruction that makes a node.
type randomStep struct {
	node  string // what it does and where: equal ones are one node; with $TARGETARCH it is one for each platform
	below *randomStep
	reads *randomStep
}

const (
	maxSteps       = 30
	randomContexts = 4 // files of each kind in the context
)

// newRandomFile makes a Buildfile of at most 30 steps: COPY and WORKDIR, in some a few RUNs, in others two platforms.
func newRandomFile(random *rand.Rand, runs int) *randomFile {
	f := &randomFile{steps: map[int]*randomStep{}, runs: runs}
	if runs > 0 {
		f.stage("scratch", nil)
		f.step("COPY busybox /bin/busybox", "", nil, "")
		f.stages[0].shell = true
	} else if random.IntN(4) == 0 {
		f.platforms = []ocispec.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	}
	faulty := random.IntN(4) == 0
	for range 1 + random.IntN(6) {
		f.randomStage(random)
		for range random.IntN(8) {
			f.randomStep(random, faulty && random.IntN(8) == 0)
		}
	}
	f.randomStage(random)
	for i := range f.stages[:len(f.stages)-1] { // what is read by nobody is not made
		if len(f.stages[i].files) > 0 && random.IntN(4) > 0 {
			f.copyFrom(random, i)
		}
	}
	return f
}

func (f *randomFile) text() []byte { return []byte(strings.Join(f.lines, "\n") + "\n") }

func (f *randomFile) current() *randomStage { return f.stages[len(f.stages)-1] }

func (f *randomFile) randomStage(random *rand.Rand) {
	switch n := len(f.stages); {
	case n > 0 && f.runs > 0 && random.IntN(2) == 0:
		f.stage("s0", f.stages[0])
	case n > 0 && random.IntN(2) == 0:
		on := random.IntN(n)
		f.stage(fmt.Sprint("s", on), f.stages[on])
	default:
		f.stage("scratch", nil)
	}
}

func (f *randomFile) stage(from string, on *randomStage) {
	st := &randomStage{name: fmt.Sprint("s", len(f.stages))}
	if on != nil {
		st.top, st.shell = on.top, on.shell
		st.files = append(st.files, on.files...)
	}
	f.stages = append(f.stages, st)
	f.lines = append(f.lines, fmt.Sprintf("FROM %s AS %s", from, st.name))
	if len(f.platforms) > 0 {
		f.lines = append(f.lines, "ARG TARGETARCH")
	}
}

// step puts an instruction on the current stage; what it makes can be copied from there.
func (f *randomFile) step(line, identity string, reads *randomStep, makes string) {
	if len(f.steps) >= maxSteps {
		return
	}
	st := f.current()
	f.lines = append(f.lines, line)
	if identity == "" {
		identity = line
	}
	s := &randomStep{below: st.top, reads: reads}
	s.node = fmt.Sprintf("(%s on %s reads %s)", identity, st.top.id(), reads.id())
	f.steps[len(f.lines)], st.top = s, s
	if makes != "" {
		st.files = append(st.files, makes)
	}
}

func (s *randomStep) id() string {
	if s == nil {
		return "nothing"
	}
	return s.node
}

func (f *randomFile) randomStep(random *rand.Rand, fails bool) {
	if fails && len(f.steps) < maxSteps {
		f.fails = true
		f.failingStep(random)
		return
	}
	file, dir := fmt.Sprint("/f", random.IntN(4)), fmt.Sprint("/d", random.IntN(2))
	from := random.IntN(len(f.stages))
	switch kind := random.IntN(8); {
	case f.current().shell && f.runs > 0 && kind < 3:
		f.runs--
		f.step(fmt.Sprintf(`RUN ["/bin/busybox", "sh", "-c", "echo %d >%s"]`, random.IntN(3), file), "", nil, file)
	case kind < 3 && from < len(f.stages)-1 && len(f.stages[from].files) > 0:
		f.copyFrom(random, from)
	case kind < 4 && len(f.platforms) > 0:
		f.step(fmt.Sprintf("COPY $TARGETARCH/%d %s", random.IntN(randomContexts), file), "", nil, file)
	case kind < 5:
		f.step(fmt.Sprintf("COPY f%d %s", random.IntN(randomContexts), file), "", nil, file)
	case kind < 7:
		f.step(fmt.Sprintf("COPY d%d %s", random.IntN(randomContexts), dir), "", nil, dir)
	default:
		f.step(fmt.Sprintf("WORKDIR /w%d/x", random.IntN(3)), "", nil, "")
	}
}

func (f *randomFile) failingStep(random *rand.Rand) {
	from := random.IntN(len(f.stages))
	switch {
	case f.current().shell && random.IntN(2) == 0:
		f.step(`RUN ["/bin/busybox", "sh", "-c", "exit 3"]`, "", nil, "")
	case from < len(f.stages)-1:
		f.step(fmt.Sprintf("COPY --from=s%d /nothing /f0", from), "COPY /nothing /f0", f.stages[from].top, "")
	default:
		f.step("COPY nothing /f0", "", nil, "")
	}
}

// copyFrom copies a file over a file, or a directory into one.
func (f *randomFile) copyFrom(random *rand.Rand, from int) {
	st := f.stages[from]
	file := st.files[random.IntN(len(st.files))]
	to := fmt.Sprint("/f", random.IntN(4))
	if strings.HasPrefix(file, "/d") {
		to = fmt.Sprint("/d", random.IntN(2))
	}
	f.step(fmt.Sprintf("COPY --from=%s %s %s", st.name, file, to), fmt.Sprintf("COPY %s %s", file, to), st.top, to)
}
