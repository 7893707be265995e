package integration

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheExampleOfACIBuilderBuilds runs examples/ci twice, as its comment says: the images are the same, and the second
// time nothing runs.
func TestTheExampleOfACIBuilderBuilds(t *testing.T) {
	l := newLab(t)
	program := filepath.Join(l.dir, "ci")
	run := func(name string, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs strings.Builder
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = "..", &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, errs.String())
		}
		return out.String(), errs.String()
	}
	run("go", "build", "-o", program, "./examples/ci")

	digests, said := run(program, "--root", l.root)
	const digest = " sha256:[0-9a-f]{64}\n"
	if !regexp.MustCompile("^site" + digest + "config" + digest + "bundle" + digest + "$").MatchString(digests) {
		t.Errorf("it prints %q", digests)
	}
	for _, want := range []string{"site: 1/3 ", "config: 2/2 ", ": packed "} {
		if !strings.Contains(said, want) {
			t.Errorf("progress lacks %q:\n%s", want, said)
		}
	}
	again, said := run(program, "--root", l.root)
	if again != digests {
		t.Errorf("the second time it prints %q, the first time %q", again, digests)
	}
	if strings.Contains(said, ": done") {
		t.Errorf("a step ran again:\n%s", said)
	}
	if r := l.lbuild("images"); !strings.Contains(r.stdout, "ci/bundle") {
		t.Errorf("images are:\n%s%s", r.stdout, r.stderr)
	}
}
