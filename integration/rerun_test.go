package integration

import (
	"path/filepath"
	"testing"
)

// TestALayerFitsTheLayersBelowIt runs a step again that comes out differently each time. What the step after it made on
// the first result must not be put on the second one.
func TestALayerFitsTheLayersBelowIt(t *testing.T) {
	const archive = `
-- Buildfile --
FROM base AS one
RUN cat /proc/sys/kernel/random/uuid >/first
FROM one
RUN cp /first /second
-- failing --
FROM base
RUN cat /proc/sys/kernel/random/uuid >/first
RUN false
-- check --
FROM app
RUN cmp /first /second
`
	for name, again := range map[string]func(l *lab, dir string){
		"after a stage without the cache": func(l *lab, dir string) { l.mustBuild(dir, "--no-cache-filter", "one") },
		"after a failed build without the cache": func(l *lab, dir string) {
			if r := l.build(dir, "--no-cache", "-f", filepath.Join(dir, "failing")); r.code == 0 {
				l.Fatal("the build did not fail")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			dir := l.context(archive)
			l.mustBuild(dir)
			again(l, dir)
			l.mustBuild(dir, "-t", "app")
			l.mustBuild(dir, "-f", filepath.Join(dir, "check"))
		})
	}
}

// TestAProxyOfTheImageCounts: a proxy that the Buildfile puts into the image is no matter of where the build runs.
func TestAProxyOfTheImageCounts(t *testing.T) {
	l := newLab(t)
	for _, proxy := range []string{"http://one", "http://two"} {
		dir := l.context("-- Buildfile --\nFROM base\nENV http_proxy=" + proxy + "\nRUN env | grep proxy >/seen\n")
		l.mustBuild(dir, "-o", "tree")
		if got, want := l.must("cat", "tree/seen"), "http_proxy="+proxy+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
