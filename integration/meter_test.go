package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	lbuild "github.com/lbuild/lbuild/build"
)

// meter is a lab whose builds tell what became of each step, and whose containers are counted.
type meter struct {
	*lab
	program string // lbuild, with a runc beside it that counts
	calls   string // a file with one line for each container
}

// newMeter makes a lab of its own. The runc that lbuild finds beside itself is a script around the real one.
func newMeter(t testing.TB) *meter {
	t.Helper()
	m := &meter{lab: newLab(t)}
	m.program = filepath.Join(m.dir, "bin", "lbuild")
	m.calls = filepath.Join(m.dir, "calls")
	script := fmt.Sprintf("#!/bin/sh\nfor a; do [ \"$a\" != run ] || echo run >>%s; done\nexec %s \"$@\"\n",
		m.calls, filepath.Join(programs.dir, "bin", "runc"))
	if err := writeFile(filepath.Join(m.dir, "bin", "runc"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(programs.lbuild, m.program); err != nil {
		t.Fatal(err)
	}
	return m
}

// outcome is how a build went.
type outcome struct {
	result
	events []lbuild.Event
	runs   int   // containers
	maxRSS int64 // bytes, the largest process's
}

// buildArgs is the command line of a build of dir.
func (m *meter) buildArgs(dir string, args ...string) []string {
	list := []string{"--root", m.root, "build", "--build-context", "base=oci-layout://" + programs.base, "--progress", "json"}
	return append(append(list, args...), dir)
}

// command is a program in the lab's directory and environment, killed with ctx.
func (m *meter) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = m.dir, append(os.Environ(), m.env...)
	return cmd
}

// measure builds dir and says how it went, for better or worse.
func (m *meter) measure(dir string, args ...string) outcome {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), 4*time.Minute)
	defer cancel()
	before := m.counted()
	cmd := m.command(ctx, m.program, m.buildArgs(dir, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		m.Fatal(err)
	}
	// The kernel counts the memory of whoever started the program, too, so this is too much rather than too little.
	rss := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	return outcome{
		result: result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()},
		events: parseEvents(m, stderr.Bytes()), runs: m.counted() - before, maxRSS: rss,
	}
}

// mustMeasure is measure for builds that should succeed.
func (m *meter) mustMeasure(dir string, args ...string) outcome {
	m.Helper()
	o := m.measure(dir, args...)
	if o.code != 0 {
		m.Fatalf("build failed with status %d:\n%s", o.code, o.stderr)
	}
	return o
}

// counted is how many containers the lab has started.
func (m *meter) counted() int {
	m.Helper()
	data, err := os.ReadFile(m.calls)
	if err != nil && !os.IsNotExist(err) {
		m.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

func parseEvents(t testing.TB, stderr []byte) []lbuild.Event {
	t.Helper()
	var events []lbuild.Event
	for lines := bufio.NewScanner(bytes.NewReader(stderr)); lines.Scan(); {
		var ev lbuild.Event
		if err := json.Unmarshal(lines.Bytes(), &ev); err == nil {
			events = append(events, ev)
		}
	}
	return events
}

func (o outcome) digest() string { return strings.TrimSpace(o.stdout) }

// steps says what became of the steps, by their lines, and how many containers there were: "2 cached, 3 done; 1 run".
func (o outcome) steps() string {
	var list []string
	for _, ev := range o.events {
		if ev.Type == lbuild.EventStep && ev.State != lbuild.StateStarted {
			list = append(list, fmt.Sprintf("%02d %s", ev.Line, ev.State))
		}
	}
	slices.Sort(list)
	for i := range list {
		list[i] = strings.TrimPrefix(list[i], "0")
	}
	return fmt.Sprintf("%s; %d run", strings.Join(list, ", "), o.runs)
}

// shell runs a script in dir.
func (m *meter) shell(dir, script string) {
	m.Helper()
	m.must("sh", "-ec", "cd "+dir+"\n"+script)
}

// checkResidue fails the test for what a command left behind that only a running one may have.
func (m *meter) checkResidue() {
	m.Helper()
	for _, dir := range []string{"leases", "trash", "content/ingest"} {
		for _, name := range m.entries(dir) {
			m.Errorf("left behind: %s/%s", dir, name)
		}
	}
	for _, dir := range m.mounts() {
		if strings.HasPrefix(dir, m.root+"/") {
			m.Errorf("left mounted: %s", dir)
		}
	}
}

// checkEmpty prunes everything, and fails the test if that leaves anything.
func (m *meter) checkEmpty() {
	m.Helper()
	m.must(m.program, "--root", m.root, "prune", "--all")
	m.checkResidue()
	for _, dir := range []string{"snapshots/snapshots", "content/blobs/sha256"} {
		if names := m.entries(dir); len(names) > 0 {
			m.Errorf("prune --all leaves %d entries of %s: %v", len(names), dir, names)
		}
	}
}

// entries lists a directory of the store; one that does not exist has none.
func (m *meter) entries(dir string) []string {
	m.Helper()
	list, err := os.ReadDir(filepath.Join(m.root, dir))
	if err != nil && !os.IsNotExist(err) {
		m.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// processes lists the processes whose command line holds word.
func processes(t testing.TB, word string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(word)) {
			found = append(found, fmt.Sprintf("%s: %q", filepath.Base(filepath.Dir(file)), line))
		}
	}
	return found
}

// checkWhole fails the test unless dir is an OCI layout whose blobs, digests, sizes and diff-ids agree.
func checkWhole(t testing.TB, dir string) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Errorf("read the layout %s: %v", dir, err)
		return
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("validate the layout %s: %v", dir, err)
	}
}
