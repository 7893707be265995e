package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lbuild/lbuild/bench"
	"github.com/lbuild/lbuild/build"
)

// checkCSV compares the number of lines, and asks for columns in which every line has something: csv FILE LINES COLUMN…
func checkCSV(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: csv FILE LINES COLUMN…")
	}
	rows, err := csv.NewReader(strings.NewReader(ts.ReadFile(args[0]))).ReadAll()
	ts.Check(err)
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if len(rows) != want {
		ts.Fatalf("%d lines, want %d", len(rows), want)
	}
	for _, column := range args[2:] {
		i := slices.Index(rows[0], column)
		if i < 0 {
			ts.Fatalf("no column %s in %v", column, rows[0])
		}
		for n, row := range rows {
			if row[i] == "" {
				ts.Fatalf("line %d has no %s", n+1, column)
			}
		}
	}
}

func TestBenchPassesHaveNoMemoryLimit(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	limitMemory(build.DefaultMemory)
	cmd := newBenchPassCommand(&app{})
	cmd.PreRun(cmd, nil)
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		t.Errorf("the limit is %d bytes, want none", limit)
	}
}

// TestBenchEndsOnSignals starts the program of this test as lbuild, and interrupts it while a child of it works.
func TestBenchEndsOnSignals(t *testing.T) {
	dir := t.TempDir()
	var stderr bytes.Buffer
	cmd := exec.Command("lbuild", "bench", "--size", "30MB", "--runs", "99", "--codecs", "std/gzip:9")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	child := childOf(t, cmd.Process.Pid, benchPassName)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	var err error
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatal("bench goes on after SIGTERM")
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 143 || !strings.Contains(stderr.String(), "error: terminated") {
		t.Errorf("ended with %v, want status 143: %s", err, stderr.String())
	}
	if _, err := os.Stat(filepath.Join("/proc", child)); err == nil {
		t.Errorf("process %s still runs", child)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestInterruptedBenchWritesTheRunsThatWereDone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b.json")
	cmd := exec.Command("lbuild", "bench", "--size", "100kB", "--runs", "99999", "--codecs", "none,std/gzip", "--json", file)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var last string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if last = lines.Text(); last == "mixed: run 3" {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}
	}
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || exit.ExitCode() != 130 || last != "error: interrupted" {
		t.Errorf("ended with %v and %q, want status 130", exit, last)
	}
	if !strings.Contains(stdout.String(), " of 99999 runs\n") || strings.Contains(stdout.String(), "Take:") {
		t.Errorf("stdout:\n%s", &stdout)
	}
	var report bench.Report
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || len(report.Results) != 2 || len(report.Results[0].Samples) < 2 {
		t.Errorf("error %v, results %+v", err, report.Results)
	}
}

// childOf waits for a child whose arguments hold a word, and returns its id.
func childOf(t *testing.T, parent int, word string) string {
	t.Helper()
	children := filepath.Join("/proc", strconv.Itoa(parent), "task", "*", "children")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		files, _ := filepath.Glob(children)
		for _, file := range files {
			list, _ := os.ReadFile(file)
			for _, pid := range strings.Fields(string(list)) {
				if args, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); strings.Contains(string(args), word) {
					return pid
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no child %s within a minute", word)
	return ""
}
