package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lbuild/lbuild/bench/corpus"
)

func TestMissingProgramsAreNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	codecs, err := ParseCodecs("program/pigz,program/zstd:3")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), Options{Inputs: []Input{tiny(t)}, Codecs: codecs})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "pigz") || !strings.Contains(err.Error(), "zstd") {
		t.Errorf("error is %v, want %v for both", err, ErrNotInstalled)
	}
	known, missing := DefaultCodecs()
	if diff := cmp.Diff([]string{Pigz, Igzip, ZstdProgram}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if slices.ContainsFunc(known, func(c Codec) bool { return strings.HasPrefix(c.Name, "program/") }) {
		t.Errorf("the defaults are %v", known)
	}
}

func TestJSONHasAListWhereNothingIsMissing(t *testing.T) {
	opts := Options{Inputs: []Input{tiny(t)}, Codecs: []Codec{{Name: None}}, Baseline: None, Runs: 1, Dir: t.TempDir()}
	report, err := Run(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := report.WriteJSON(&b); err != nil || !strings.Contains(b.String(), `"missing": []`) {
		t.Errorf("error %v: %s", err, b.String())
	}
}

func TestInstalledProgramsAreMeasured(t *testing.T) {
	for _, name := range []string{Pigz, Igzip, ZstdProgram} {
		t.Run(name, func(t *testing.T) {
			e, err := (Codec{Name: name}).engine()
			if err != nil {
				t.Fatal(err)
			}
			if err := e.program.installed(); err != nil && os.Getenv("LBUILD_TEST_STRICT") == "1" {
				t.Fatal(err)
			} else if err != nil {
				t.Skip("missing: ", err)
			}
			large, err := Corpus(corpus.Spec{Name: corpus.Binaries, Size: 10_000_000}) // so that the peak of memory is seen
			if err != nil {
				t.Fatal(err)
			}
			for _, opts := range []Options{
				{Inputs: []Input{tiny(t)}, Codecs: []Codec{{Name: name, Level: e.max}}},
				{Inputs: []Input{large}, Codecs: []Codec{{Name: name}}},
			} {
				opts.Workers, opts.Runs, opts.Baseline, opts.Dir = []int{2}, 1, None, t.TempDir()
				report, err := Run(context.Background(), opts)
				if err != nil {
					t.Fatal(err)
				}
				r := report.Results[0]
				if r.CPU.Median <= 0 || r.Version == "" || r.Ratio > 0.5 || opts.Inputs[0].Name == large.Name && r.Memory < 1<<20 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// TestCancelEndsProgramsAndLeavesNoFile also has a program that starts another one, as scripts on PATH do.
func TestCancelEndsProgramsAndLeavesNoFile(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, script := range map[string]string{
		"alone":  "echo $$ > PID.new && mv PID.new PID && exec sleep 600\n",
		"starts": "sleep 600 & echo $! > PID.new && mv PID.new PID && wait\n",
	} {
		t.Run(name, func(t *testing.T) {
			bin, dir := t.TempDir(), t.TempDir()
			pidFile := filepath.Join(bin, "pid")
			script = "#!/bin/sh\n[ $1 = --version ] && exit\n" + strings.ReplaceAll(script, "PID", pidFile)
			if err := os.WriteFile(filepath.Join(bin, "pigz"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
			cause := errors.New("enough")
			ctx, cancel := context.WithCancelCause(context.Background())
			go cancelOnce(pidFile, func() { cancel(cause) })
			_, err := Run(ctx, Options{Inputs: []Input{tiny(t)}, Codecs: []Codec{{Name: Pigz}}, Baseline: Pigz, Dir: dir})
			if !errors.Is(err, cause) {
				t.Errorf("error is %v, want %v", err, cause)
			}
			pid, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			if !ends(strings.TrimSpace(string(pid))) {
				t.Error("the program still runs")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// cancelOnce waits ten seconds at most for a file.
func cancelOnce(file string, cancel func()) {
	for range 1000 {
		if _, err := os.Stat(file); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
}

// ends waits ten seconds at most for a process to end: one that was killed takes a moment to die, and nobody waits for a
// child of the program.
func ends(pid string) bool {
	for range 1000 {
		if !runs(pid) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// runs reports whether a process is there and is more than its exit status.
func runs(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestProgramsThatFailAreQuoted(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho the disk is on fire >&2\nexit 3\n"
	if err := os.WriteFile(filepath.Join(bin, "igzip"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	_, err := Run(context.Background(), Options{Inputs: []Input{tiny(t)}, Codecs: []Codec{{Name: Igzip}}, Baseline: Igzip, Dir: t.TempDir()})
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("error is %v", err)
	}
}
