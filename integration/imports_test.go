// Package integration tests lbuild as its users meet it: the program, real overlay mounts, real containers, a real
// registry, and other people's programs that read what it wrote.
package integration

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lbuild/lbuild/"

// arrows lists, for each package, which packages of lbuild it may import. ARCHITECTURE.md draws the same.
var arrows = map[string][]string{
	"cmd/lbuild":               {"bench", "bench/chart", "bench/corpus", "build", "build/buildfile", "build/event", "build/images", "diff", "diff/layer", "diff/compress", "diff/verify", "snapshot"},
	"build":                    {"build/buildfile", "build/event", "build/internal/", "snapshot", "diff", "diff/layer", "diff/compress"},
	"build/buildfile":          {},
	"build/event":              {},
	"build/images":             {"build/event", "build/internal/blocks", "build/internal/cache", "build/internal/export", "build/internal/image", "build/internal/remote", "snapshot"},
	"build/internal/solve":     {"build/event", "build/internal/cache", "build/internal/once", "build/internal/op", "build/internal/plan", "build/internal/source", "diff", "snapshot"},
	"build/internal/op":        {"build/internal/plan", "build/internal/run", "build/internal/source"},
	"build/internal/plan":      {"build/buildfile"},
	"build/internal/pack":      {"build/event", "build/internal/blocks", "build/internal/once", "diff", "diff/compress", "diff/layer", "diff/verify", "snapshot"},
	"build/internal/base":      {"build/event", "build/internal/export", "build/internal/image", "build/internal/once", "build/internal/remote", "snapshot"},
	"build/internal/once":      {},
	"build/internal/storetest": {"snapshot"},
	"build/internal/source":    {"diff"},
	"build/internal/run":       {},
	"build/internal/blocks":    {"diff/compress"},
	"build/internal/cache":     {"build/internal/plan", "snapshot"},
	"build/internal/image":     {"snapshot"},
	"build/internal/remote":    {"build/internal/image"},
	"build/internal/export":    {"build/internal/image", "snapshot"},
	"snapshot":                 {},
	"diff":                     {},
	"diff/layer":               {"diff", "diff/compress"},
	"diff/compress":            {},
	"diff/verify":              {"diff"},
	"diff/difftest":            {"diff/internal/treetest"},
	"diff/internal/treetest":   {},
	"bench":                    {"bench/corpus", "diff", "diff/layer", "diff/compress"},
	"bench/chart":              {"bench"},
	"bench/corpus":             {},
	"examples/ci":              {"build"},
}

// TestImportsPointDown reads the files themselves: a cached answer of the go command would pass wrongly.
func TestImportsPointDown(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == ".ci" || d.Name() == "integration" || d.Name() == "out" || path == "../bench/compare") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, "../")))
		if pkg == "." {
			t.Errorf("%s: the module's root holds no package", path)
			return nil
		}
		allowed, ok := arrows[pkg]
		if !ok && !seen[pkg] {
			t.Errorf("%s is not in the table of packages", pkg)
		}
		seen[pkg] = true
		checkImports(t, path, allowed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range arrows {
		if !seen[pkg] {
			t.Errorf("package %s is in the table and has no files", pkg)
		}
	}
}

func checkImports(t *testing.T, path string, allowed []string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		own, ok := strings.CutPrefix(imported, module)
		if !ok {
			continue
		}
		if !slices.ContainsFunc(allowed, func(a string) bool {
			return own == a || strings.HasSuffix(a, "/") && strings.HasPrefix(own, a)
		}) {
			t.Errorf("%s imports %s: this arrow is not in the table", path, own)
		}
	}
}
