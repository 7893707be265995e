package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestRandomHistories does at random what users and bad luck do to one store: builds of a few variants of a Buildfile, two
// at once, prunes, kills, and files that are overwritten, emptied or removed. Each build succeeds, and gives what it gives
// in an empty store. LBUILD_TEST_SEED repeats a history.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LBUILD_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LBUILD_TEST_SEED=%d", seed)
	h := &history{meter: newMeter(t), random: rand.New(rand.NewPCG(seed, 0)), digests: map[variant]string{}}
	end := time.Now().Add(60 * time.Second)
	n := 0
	for ; n < rounds(40, 400) && (long || time.Now().Before(end)) && !t.Failed(); n++ {
		h.step()
	}
	if t.Failed() {
		t.Logf("after:\n%s", strings.Join(h.log, "\n"))
	}
	t.Logf("%d operations, %d variants", n, len(h.digests))
	h.checkResidue()
	h.checkEmpty()
}

// history is what was done to a store.
type history struct {
	*meter
	random  *rand.Rand
	digests map[variant]string // in an empty store
	log     []string
}

// variant is what a build's image depends on.
type variant struct {
	file     int // content of a file
	arg      int
	workdir  bool // a step more, low in a stage
	lastStep bool // a step more, at the end
}

func (v variant) context() string {
	workdir, last := "", ""
	if v.workdir {
		workdir = "WORKDIR /w\n"
	}
	if v.lastStep {
		last = "RUN cat /a /from/* >/sum\n"
	}
	return "-- Buildfile --\nFROM base AS one\nARG A\nCOPY d /d\n" + workdir + "RUN echo $A >/arg; cat /d/* >/all\n" +
		"FROM base\nCOPY --from=one /arg /all /from/\nCOPY d/a /a\n" + last +
		fmt.Sprintf("-- d/a --\n%d\n-- d/b --\nb\n-- .dockerignore --\nBuildfile\n", v.file)
}

func (v variant) args() []string {
	return []string{"--source-date-epoch", "1700000000", "--build-arg", fmt.Sprint("A=", v.arg)}
}

func (h *history) variant() variant {
	r := h.random
	return variant{file: r.IntN(2), arg: r.IntN(2), workdir: r.IntN(4) == 0, lastStep: r.IntN(2) == 0}
}

// alone is the digest of a variant in an empty store.
func (h *history) alone(v variant) string {
	h.Helper()
	if h.digests[v] == "" {
		args := append([]string{"--root", h.root + "-alone", "build", "--build-context", "base=oci-layout://" + programs.base}, v.args()...)
		h.digests[v] = strings.TrimSpace(h.must(h.program, append(args, h.context(v.context()))...))
		if err := os.RemoveAll(h.root + "-alone"); err != nil {
			h.Fatal(err)
		}
	}
	return h.digests[v]
}

func (h *history) step() {
	switch n := h.random.IntN(12); {
	case n < 5:
		h.builds(h.variant())
	case n < 7:
		h.builds(h.variant(), h.variant())
	case n < 8:
		h.kill()
	case n < 9:
		h.prune()
	default:
		h.damage()
	}
}

func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// flags are what must not matter for the image.
func (h *history) flags() []string {
	var flags []string
	switch h.random.IntN(8) {
	case 0:
		flags = append(flags, "--no-cache")
	case 1:
		flags = append(flags, "--no-cache-filter", "one")
	case 2:
		flags = append(flags, "--jobs", "1")
	}
	dest := filepath.Join(h.dir, fmt.Sprint("out-", len(h.log)))
	switch h.random.IntN(6) {
	case 0:
		flags = append(flags, "-o", "type=local,dest="+dest, "-o", "type=image")
	case 1:
		flags = append(flags, "-o", "type=oci,dest="+dest+".tar")
	case 2:
		flags = append(flags, "-o", "type=image", "-o", "type=oci,compression=zstd,dest="+dest+".tar")
	case 3:
		flags = append(flags, "-t", fmt.Sprint("history:", h.random.IntN(3)))
	}
	return flags
}

// builds builds variants at once.
func (h *history) builds(list ...variant) {
	h.Helper()
	var group sync.WaitGroup
	for _, v := range list {
		want, dir := h.alone(v), h.context(v.context())
		flags := append(v.args(), h.flags()...)
		h.note("build %+v %v", v, flags)
		cmd := h.command(h.Context(), h.program, h.buildArgs(dir, flags...)...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		group.Go(func() {
			if err := cmd.Run(); err != nil {
				h.Errorf("build %+v: %v\n%s", v, err, errs.String())
			} else if got := strings.TrimSpace(out.String()); got != want {
				h.Errorf("build %+v gives %s, want %s as in an empty store", v, got, want)
			}
		})
	}
	group.Wait()
	h.checkResidue()
}

func (h *history) kill() {
	v := h.variant()
	pause := time.Duration(h.random.IntN(700)) * time.Millisecond
	h.note("kill a build of %+v after %v", v, pause)
	cmd := h.command(h.Context(), h.program, h.buildArgs(h.context(v.context()), v.args()...)...)
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	time.Sleep(pause)
	_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	_ = cmd.Wait()
}

func (h *history) prune() {
	args := []string{"--root", h.root, "prune"}
	if h.random.IntN(3) == 0 {
		args = append(args, "--all")
	}
	h.note("%v", args)
	h.must(h.program, args...)
}

// damage does something to a file of the store that it must not trust.
func (h *history) damage() {
	h.Helper()
	dirs := []string{"content/blobs/sha256", "content/blobs/sha256", "digests", "blocks"}
	dir := dirs[h.random.IntN(len(dirs))]
	names := h.entries(dir)
	if len(names) == 0 {
		return
	}
	path := filepath.Join(h.root, dir, names[h.random.IntN(len(names))])
	info, err := os.Stat(path)
	if err != nil {
		h.Fatal(err)
	}
	how := h.random.IntN(3)
	h.note("damage %s in the way %d", path, how)
	switch how {
	case 0:
		err = os.Remove(path)
	case 1:
		err = os.Truncate(path, info.Size()/2)
	case 2:
		err = overwrite(path, info.Size()/2)
	}
	if err != nil {
		h.Fatal(err)
	}
}

// overwrite writes other bytes into the middle of a file.
func overwrite(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte("damaged"), at); err != nil {
		_ = f.Close() // that error counts
		return err
	}
	return f.Close()
}
