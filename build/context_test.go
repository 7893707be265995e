package build

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/plan"
)

// remembered lists the files with digests of contexts that the store of b has.
func remembered(t *testing.T, b *Builder) []string {
	t.Helper()
	entries, err := os.ReadDir(cache.FileDigests(b.store.Root()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func writeContext(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func tarOf(t *testing.T, dir string) *bytes.Buffer {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		t.Fatal(err)
	}
	return &archive
}

func TestPruneForgetsDigestsOfContexts(t *testing.T) {
	b, _ := newTestBuilder(t)
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY . /\n"})
	if _, err := b.Build(t.Context(), Request{Context: dir}); err != nil {
		t.Fatal(err)
	}
	if got := remembered(t, b); len(got) != 1 {
		t.Errorf("after a build: %q, want one file", got)
	}
	prune(t, b, false)
	if got := remembered(t, b); len(got) != 0 {
		t.Errorf("after a prune: %q, want none", got)
	}
}

// What a build remembers is forgotten by a prune beside it, and neither notices the other.
func TestPrunesBesideABuildThatRemembers(t *testing.T) {
	b, _ := newTestBuilder(t)
	var builds sync.WaitGroup
	builds.Go(func() {
		for range 20 {
			dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY . /\n"})
			_, err := b.Build(t.Context(), Request{Context: dir, Events: func(e Event) {
				if e.Type == EventWarning {
					t.Errorf("warning: %s", e.Text)
				}
			}})
			if err != nil {
				t.Errorf("build: %v", err)
			}
		}
	})
	done := make(chan struct{})
	go func() { builds.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
			prune(t, b, false)
		}
	}
}

func TestContextInATarLeavesNoDigests(t *testing.T) {
	b, _ := newTestBuilder(t)
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY . /\n"})
	if _, err := b.Build(t.Context(), Request{ContextTar: tarOf(t, dir)}); err != nil {
		t.Fatal(err)
	}
	if got := remembered(t, b); len(got) != 0 {
		t.Errorf("%q is left of a directory that nobody reads again", got)
	}
}

// What cannot be remembered costs the next build time. It must not fail this one, whose image is there already.
func TestDigestsThatCannotBeSavedAreAWarning(t *testing.T) {
	b, _ := newTestBuilder(t)
	dir := writeContext(t, map[string]string{"Buildfile": "FROM scratch\nCOPY . /\n"})
	inTheWay := filepath.Join(cache.FileDigests(b.store.Root()), string(plan.NewKey(dir)), "x")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	warnings := 0
	_, err := b.Build(t.Context(), Request{Context: dir, Events: func(e Event) {
		if e.Type == EventWarning {
			warnings++
		}
	}})
	if err != nil || warnings != 1 {
		t.Errorf("got %d warnings and the error %v, want one and none", warnings, err)
	}
}

func TestDirectoryGivenTwiceHasTwoIgnoreFiles(t *testing.T) {
	b, _ := newTestBuilder(t)
	dir := writeContext(t, map[string]string{
		"Buildfile":              "FROM scratch\nCOPY . /main/\nCOPY --from=again . /again/\n",
		"Buildfile.dockerignore": "one\n",
		".dockerignore":          "two\n",
		"one":                    "", "two": "",
	})
	out := t.TempDir()
	_, err := b.Build(t.Context(), Request{
		Context: dir, Contexts: map[string]string{"again": dir}, Outputs: []Output{{Type: OutputLocal, Dest: out}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"main/one": false, "main/two": true, "again/one": true, "again/two": false} {
		if _, err := os.Lstat(filepath.Join(out, name)); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", name, err == nil, want)
		}
	}
}
