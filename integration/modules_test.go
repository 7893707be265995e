package integration

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTheDifferLinksFewModules counts what a builder gets that imports the differ alone. The module of lbuild counts, too;
// without cgo nothing of the machine comes along.
func TestTheDifferLinksFewModules(t *testing.T) {
	for pkg, most := range map[string]int{"diff": 10, "diff/layer": 15} {
		modules := modulesOf(t, pkg)
		if len(modules) == 0 || len(modules) > most {
			t.Errorf("%s links %d modules, want 1 to %d:\n%s", pkg, len(modules), most, strings.Join(modules, "\n"))
		}
		for _, m := range modules {
			if strings.HasPrefix(m, "github.com/containerd/containerd/") || strings.HasPrefix(m, "google.golang.org/grpc") {
				t.Errorf("%s links %s", pkg, m)
			}
		}
	}
}

// modulesOf lists the modules that a program has when it imports a package of lbuild, in order. Importing C, the package
// would not build.
func modulesOf(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./"+pkg)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]bool{}
	for _, m := range strings.Fields(string(out)) {
		modules[m] = true
	}
	return slices.Sorted(maps.Keys(modules))
}
