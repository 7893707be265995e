package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/bench/compare/internal/workload"
)

func TestParseRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--workloads nothing":      `no workload is named "nothing"`,
		"--against nobody":         `nobody is named "nobody"`,
		"--runs 0":                 "usage: ",
		"--workloads small apt":    "usage: ",
		"--tiny --workloads small": "--tiny needs an --out of its own",
		"--before /nowhere/lbuild": "--before: ",
		"--against before":         `nobody is named "before"`,
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", args, err, want)
		}
	}
}

// program makes an executable file in a directory.
func program(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBeforeNeedsARunc(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	path := program(t, t.TempDir(), "lbuild")
	if _, err := parse([]string{"--before", path}); err == nil || !strings.Contains(err.Error(), "no runc beside it") {
		t.Errorf("without a runc: %v", err)
	}
	program(t, dir, "runc")
	if _, err := parse([]string{"--before", path}); err != nil {
		t.Errorf("with runc on PATH: %v", err)
	}
	t.Setenv("PATH", "")
	program(t, filepath.Dir(path), "runc")
	if _, err := parse([]string{"--before", path}); err != nil {
		t.Errorf("with runc beside it: %v", err)
	}
}

func TestBeforeTakesPartInAllBuilds(t *testing.T) {
	dir := t.TempDir()
	program(t, dir, "runc")
	path := program(t, dir, "lbuild")
	o, err := parse([]string{"--before", path, "--against", "before"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range o.builders(t.Context()) {
		names = append(names, b.Name)
	}
	if got := strings.Join(names, " "); got != "lbuild before runc" {
		t.Fatalf("builders are %s", got)
	}
	before := o.builders(t.Context())[1]
	for _, w := range workload.Builds() {
		for _, p := range w.Phases {
			if !before.Can(p.Name) {
				t.Errorf("before takes no part in %s", p.Name)
			}
		}
	}
}

func TestListsWithoutNamesAreAll(t *testing.T) {
	o, err := parse([]string{"--workloads", ",", "--against", ""})
	if err != nil || !o.wants("small") || !o.compares("umoci") {
		t.Errorf("got %+v, %v", o, err)
	}
}
