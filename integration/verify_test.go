package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	lbuild "github.com/lbuild/lbuild/build"
	"github.com/lbuild/lbuild/diff"
)

// TestVerifyPassesStepsOfAllKinds builds without a layer, with layers on nothing and on many others, and in all
// compressions; each is unpacked once more and compared.
func TestVerifyPassesStepsOfAllKinds(t *testing.T) {
	l := newLab(t)
	dir := l.context(`-- Buildfile --
FROM base
COPY a /a
RUN true
RUN ln /a /b; ln -s a c; mkfifo d; mkdir -p e/f; chmod 6755 a; chown 1000:1000 e; chmod 0700 /
RUN rm -r /e; mkdir /e; touch /e/g; rm c; mv /a /e/a; chmod 1777 /tmp
RUN rm d; mkdir d; echo x > d/x; chown root:root /etc/passwd
RUN dd if=/dev/zero of=/holes bs=1 count=1 seek=5000000 2>/dev/null; touch -d @5 /holes
-- a --
a
`)
	for _, args := range [][]string{
		{"--compression", "none"},
		{"--compression", "zstd", "--whiteouts", "explicit"},
		{"--compression", "gzip", "--source-date-epoch", "1000000000"},
	} {
		l.mustBuild(dir, append(args, "--verify")...)
	}
	l.mustBuild(l.context("-- Buildfile --\nFROM scratch\nCOPY a /\n-- a --\na\n"), "--verify")
}

// TestVerifyFailsABuildWhoseLayerIsNotItsTree changes a file behind the walk's back just after it was packed: the walk
// says where it is, by a warning of the next file.
func TestVerifyFailsABuildWhoseLayerIsNotItsTree(t *testing.T) {
	l := newLab(t)
	dir := l.context("-- Buildfile --\nFROM base\nRUN echo x >/passed; truncate -s 8M /sparse\n")
	damaged := 0
	damage := func(e lbuild.Event) {
		if e.Type != lbuild.EventWarning {
			return
		}
		files, _ := filepath.Glob(filepath.Join(l.root, "snapshots", "snapshots", "*", "fs", "passed"))
		for _, file := range files {
			damaged++
			if err := os.Chmod(file, 0o751); err != nil {
				t.Error(err)
			}
		}
	}
	err := l.buildHere(lbuild.Request{Context: dir, Verify: true, Events: damage})
	if damaged != 1 {
		t.Fatalf("damaged %d files, want 1; the build says %v", damaged, err)
	}
	const want = `pack the layer of line 2: verify "passed": its mode is 0751, and 0644 in the layer`
	if pathErr, ok := errors.AsType[*diff.PathError](err); !ok || pathErr.Path != "passed" || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// buildHere builds in this process, with the base image as "base".
func (l *lab) buildHere(req lbuild.Request) (err error) {
	l.Helper()
	ctx := context.Background()
	store, err := lbuild.OpenStore(ctx, l.root, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	b, err := lbuild.New(store, lbuild.Options{Runtime: filepath.Join(programs.dir, "bin", "runc")})
	if err != nil {
		return err
	}
	req.Contexts = map[string]string{"base": "oci-layout://" + programs.base}
	_, err = b.Build(ctx, req)
	return err
}

// TestABuildSaysWhatItLeftOut counts the files that a step copied up and did not change.
func TestABuildSaysWhatItLeftOut(t *testing.T) {
	l := newLab(t)
	dir := l.context("-- Buildfile --\nFROM base\nCOPY a b /\nRUN chown 0:0 /a /b; touch /c\n-- a --\n12345\n-- b --\n1\n")
	r := l.build(dir)
	const want = "2 files (8B) were copied up unchanged and left out\n"
	if r.code != 0 || !strings.Contains(r.stderr, want) {
		t.Errorf("status %d, stderr lacks %q:\n%s", r.code, want, r.stderr)
	}
	if r := l.build(dir); !strings.Contains(r.stderr, want) {
		t.Errorf("stderr of the cached build lacks %q:\n%s", want, r.stderr)
	}
	if r := l.build(dir, "--no-cache", "--progress", "json"); !strings.Contains(r.stderr, `"unchanged":2,"unchanged_bytes":8}`) {
		t.Errorf("no event has the count:\n%s", r.stderr)
	}
}
