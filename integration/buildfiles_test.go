package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// TestBuildfiles builds every testdata/buildfiles/*.txtar, one feature of the language each, and compares the image.
//
// Lines "key: value" at the top of a case:
//
//	flags   of lbuild; $CONTEXT is the context's directory
//	env     NAME=VALUE in lbuild's environment
//	setup   a shell command, run in the context before the build and after that of base/
//	need    programs that setup uses
//	files   what want/files lists: these paths of the finished tree and all below them
//	config  what want/config holds: keys of the image's config, and in lower case those beside it, as author
//
// A case has a Buildfile and the files of its context. The files below base/ are a context of their own, built first
// and given to the build as the image first. What is expected, each only where the case has it:
//
//	want/files    type, mode, owner, path and content of each entry
//	want/layers   the entries of each layer that the build added, as they stand in the tar
//	want/config   JSON
//	want/history  created_by of each entry that the build added, after "+", or "-" where it has no layer
//	want/stderr   texts, one a line, that stderr holds
//	want/error    likewise, and the build fails with status 1
//
// All but the last two are written by -update. All cases share one store, so a wrong cache hit shows as well.
func TestBuildfiles(t *testing.T) {
	shared := newLab(t)
	names, err := filepath.Glob("testdata/buildfiles/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 60 {
		t.Errorf("%d cases are too few", len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			l := &lab{TB: t, dir: t.TempDir(), root: shared.root}
			c := l.readCase(name)
			got := c.run(l)
			if *updateGolden {
				c.update(got)
				return
			}
			c.compare(got)
		})
	}
}

// buildCase is one file of testdata/buildfiles.
type buildCase struct {
	testing.TB
	file    string
	archive *txtar.Archive
	options map[string][]string // the lines at its top
}

func (l *lab) readCase(file string) *buildCase {
	l.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		l.Fatal(err)
	}
	c := &buildCase{TB: l, file: file, archive: a, options: map[string][]string{}}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		case ok && slices.Contains([]string{"flags", "env", "setup", "need", "files", "config"}, key):
			c.options[key] = append(c.options[key], value)
		default:
			l.Fatalf("%s: unknown line %q", file, line)
		}
	}
	return c
}

// words are the values of an option, split at spaces.
func (c *buildCase) words(key string) []string {
	return strings.Fields(strings.Join(c.options[key], " "))
}

// want is an expectation; ok is false where the case has none.
func (c *buildCase) want(name string) (text string, ok bool) {
	for _, f := range c.archive.Files {
		if f.Name == "want/"+name {
			return string(f.Data), true
		}
	}
	return "", false
}

// part is the archive of the files that choose gives a name.
func (c *buildCase) part(choose func(name string) string) string {
	var part txtar.Archive
	for _, f := range c.archive.Files {
		if name := choose(f.Name); name != "" {
			part.Files = append(part.Files, txtar.File{Name: name, Data: f.Data})
		}
	}
	return string(txtar.Format(&part))
}

// run builds the case and describes the image: a text for each kind of expectation.
func (c *buildCase) run(l *lab) map[string]string {
	l.Helper()
	l.need(c.words("need")...)
	dir := l.context(c.part(func(name string) string {
		if strings.HasPrefix(name, "want/") || strings.HasPrefix(name, "base/") {
			return ""
		}
		return name
	}))
	args := append(c.base(l), "-o", "type=oci,tar=false,dest=image", "-o", "type=tar,dest=tree.tar")
	for _, cmd := range c.options["setup"] {
		l.must("sh", "-c", "umask 022 && cd "+dir+" && "+cmd)
	}
	l.env = c.words("env")
	for _, flag := range c.words("flags") {
		args = append(args, strings.ReplaceAll(flag, "$CONTEXT", dir))
	}
	r := l.build(dir, args...)
	c.checkStderr(r)
	if _, fails := c.want("error"); fails {
		return nil
	}
	if r.code != 0 {
		l.Fatalf("build failed with status %d:\n%s", r.code, r.stderr)
	}
	return c.describe(l)
}

// base builds the image first, where the case has one, and gives the flags for it.
func (c *buildCase) base(l *lab) []string {
	l.Helper()
	files := c.part(func(name string) string {
		rest, _ := strings.CutPrefix(name, "base/")
		return strings.TrimSuffix(rest, name) // "" where there was no prefix
	})
	if files == "" {
		return nil
	}
	l.mustBuild(l.context(files), "-o", "type=oci,tar=false,dest=first")
	return []string{"--build-context", "first=oci-layout://" + filepath.Join(l.dir, "first")}
}

func (c *buildCase) checkStderr(r result) {
	c.Helper()
	texts, fails := c.want("error")
	if fails && r.code != 1 {
		c.Errorf("status %d, want 1", r.code)
	}
	more, _ := c.want("stderr")
	for text := range strings.Lines(texts + more) {
		if text = strings.TrimSuffix(text, "\n"); !strings.Contains(r.stderr, text) {
			c.Errorf("stderr lacks %q:\n%s", text, r.stderr)
		}
	}
}

// compare reports where got is not what the case expects.
func (c *buildCase) compare(got map[string]string) {
	c.Helper()
	for name, text := range got {
		if want, ok := c.want(name); ok && text != want {
			c.Errorf("%s: -want +got\n%s", name, cmp.Diff(strings.SplitAfter(want, "\n"), strings.SplitAfter(text, "\n")))
		}
	}
}

// update writes got into the sections that the case has.
func (c *buildCase) update(got map[string]string) {
	c.Helper()
	for i, f := range c.archive.Files {
		if text, ok := got[strings.TrimPrefix(f.Name, "want/")]; ok && strings.HasPrefix(f.Name, "want/") {
			c.archive.Files[i].Data = []byte(text)
		}
	}
	if err := os.WriteFile(c.file, txtar.Format(c.archive), 0o644); err != nil {
		c.Fatal(err)
	}
}
