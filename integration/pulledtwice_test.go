package integration

import (
	"strings"
	"testing"
)

// TestAnImageThatIsPulledByTwoNamesGetsBoth: one name being there must not let the other be forgotten.
func TestAnImageThatIsPulledByTwoNamesGetsBoth(t *testing.T) {
	l := newLab(t)
	addr := l.registry()
	names := []string{addr + "/one:1", addr + "/two:2"}
	l.mustBuild(l.context("-- Buildfile --\nFROM base\n"), "-t", names[0], "-t", names[1], "--push")
	dir := l.context("-- Buildfile --\nFROM " + names[0] + "\nCOPY --from=" + names[1] + " /etc/passwd /p\n")
	l.mustBuild(dir, "-q")
	images := l.must(programs.lbuild, "--root", l.root, "images")
	for _, name := range names {
		repository, _, _ := strings.Cut(strings.TrimPrefix(name, addr), ":")
		if !strings.Contains(images, addr+repository) {
			t.Errorf("%s is not among the images:\n%s", name, images)
		}
	}
}
