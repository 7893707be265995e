package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/bench"
)

// state is what a tree's files hold, and when they were written.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = info.ModTime().String() + string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestReplaceOneIsUndone(t *testing.T) {
	dir := t.TempDir()
	if err := (Build{Tree: bench.Tree{Files: 3, Min: 5000, Max: 5000}}).Write(dir); err != nil {
		t.Fatal(err)
	}
	before := state(t, dir)
	undo, err := replaceOne(dir)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for path, text := range state(t, dir) {
		if text != before[path] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d files changed, want one", changed)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, state(t, dir)); d != "" {
		t.Error(d)
	}
}

func TestMakeLeavesTheLastStepInTheUpperDirectory(t *testing.T) {
	switch {
	case os.Getuid() == 0:
	case os.Getenv("LBUILD_TEST_STRICT") == "1":
		t.Fatal("only root can mount overlays")
	default:
		t.Skip("only root can mount overlays")
	}
	dir, base := t.TempDir(), t.TempDir()
	u := Upper{tree: bench.Tree{Files: 2, Max: 10}}
	dirs, err := u.Make(t.Context(), dir, base, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{base}, dirs.Lower); d != "" {
		t.Error(d)
	}
	if got := len(state(t, dirs.Upper+"/app")); got != 2 {
		t.Errorf("%d files in the upper directory, want 2", got)
	}
	if got := len(state(t, base)); got != 0 {
		t.Errorf("%d files got into the base", got)
	}
	if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) != 1 {
		t.Errorf("left are %s: %v", left, err)
	}
}

func TestEveryPhaseHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range Builds() {
		if !strings.HasPrefix(b.Buildfile, "FROM "+Base) {
			t.Errorf("%q is not on the base", b.Buildfile)
		}
		for _, p := range b.Phases {
			if p.Name == "" || p.Title == "" || seen[p.Name] {
				t.Errorf("%+v is not the only one of its name", p)
			}
			seen[p.Name] = true
		}
	}
}
