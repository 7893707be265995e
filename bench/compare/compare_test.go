package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lbuild/lbuild/bench"
	"github.com/lbuild/lbuild/bench/compare/internal/packer"
	"github.com/lbuild/lbuild/bench/compare/internal/result"
	"github.com/lbuild/lbuild/bench/compare/internal/workload"
)

// TestMain is the program where a packer starts it as its own process.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == packer.Command {
		if err := packer.Child(context.Background(), os.Args[2], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// needRoot skips the test for other users than root, or fails it with LBUILD_TEST_STRICT=1.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case os.Getenv("LBUILD_TEST_STRICT") == "1":
		t.Fatal("only root can mount overlays")
	default:
		t.Skip("only root can mount overlays")
	}
}

// TestEveryPackerMakesTheLayerOfASmallTree is a comparison of a few files, from the mounts to the saved results.
func TestEveryPackerMakesTheLayerOfASmallTree(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	dirs := workload.Dirs{Upper: filepath.Join(dir, "upper"), Lower: []string{filepath.Join(dir, "lower")}}
	for _, d := range append(dirs.Lower, dirs.Upper) {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (bench.Tree{Files: 20, Max: 20_000}).Write(dirs.Upper); err != nil {
		t.Fatal(err)
	}
	o := options{runs: 1, out: filepath.Join(dir, "out"), work: dir}
	if err := o.pack(t.Context(), workload.Upper{Name: "few", Title: "few files"}, dir, dirs); err != nil {
		t.Fatal(err)
	}
	sets, err := result.Load(o.out)
	if err != nil {
		t.Fatal(err)
	}
	checkFew(t, sets["few"])
	if left, err := os.ReadDir(filepath.Join(dir, "merged")); err != nil || len(left) > 0 {
		t.Errorf("%d names are still mounted: %v", len(left), err)
	}
}

func checkFew(t *testing.T, set result.Set) {
	t.Helper()
	all := packer.All()
	if len(set.Runs) != len(all) {
		t.Errorf("%d runs, want %d", len(set.Runs), len(all))
	}
	for _, p := range all {
		sum := set.Summary(p.Name)
		if sum.Wall <= 0 || sum.Plain < 100_000 || !p.Probe() && sum.Size < 50_000 {
			t.Errorf("%s: %+v", p.Name, sum)
		}
	}
	for _, c := range set.Checks {
		if !c.Same {
			t.Errorf("%s: %s", c.Contender, c.Differences)
		}
	}
	if want := len(all) - 2; len(set.Checks) != want {
		t.Errorf("%d layers were checked, want %d", len(set.Checks), want)
	}
}

func TestALayerThatLacksAFileIsAFindingAboutItsPacker(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	q := packer.Request{Blob: filepath.Join(dir, "blob"), Dirs: workload.Dirs{Upper: filepath.Join(dir, "upper")}}
	if err := os.Mkdir(q.Dirs.Upper, 0o755); err != nil {
		t.Fatal(err)
	}
	q.Packer = "lbuild gzip"
	if _, err := packer.Run(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(q.Dirs.Upper, "late"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var set result.Set
	if err := check(t.Context(), &set, packer.All()[0], q); err != nil {
		t.Fatal(err)
	}
	if len(set.Checks) != 1 || set.Checks[0].Same || !strings.Contains(set.Checks[0].Differences[0], "late") {
		t.Errorf("checks are %+v", set.Checks)
	}
}

func TestFlagsThatMeanNothingAreErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--workloads apt,layer-apt --runs 2", ""},
		{"--workloads apt,nothing", `no workload is named "nothing"`},
		{"--against nobody", `nobody is named "nobody"`},
		{"--runs 0", "usage"},
		{"apt", "usage"},
	} {
		_, err := parse(strings.Fields(c.args))
		if got := fmt.Sprint(err); (c.want == "") != (err == nil) || !strings.Contains(got, c.want) && err != nil {
			t.Errorf("%q: %s, want %q", c.args, got, c.want)
		}
	}
}
