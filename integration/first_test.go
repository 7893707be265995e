package integration

import (
	"strings"
	"testing"
)

func TestBuildPrintsOnlyTheDigestOnStdout(t *testing.T) {
	l := newLab(t)
	dir := l.context("-- Buildfile --\nFROM base\nRUN echo hello > /hello\n")
	digest := l.mustBuild(dir, "-t", "first:1")
	if !strings.HasPrefix(digest, "sha256:") || strings.ContainsAny(digest, " \n") {
		t.Errorf("stdout is %q, want a digest alone", digest)
	}
	if again := l.mustBuild(dir); again != digest {
		t.Errorf("the second build gives %s, the first gave %s", again, digest)
	}
}
