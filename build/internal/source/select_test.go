package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// lines joins lines, to keep tables flat.
func lines(s ...string) string { return strings.Join(s, "\n") }

func TestSelectCopiesWhatIsNamed(t *testing.T) {
	tree := lines(
		`a.txt "a"`, `b.txt "b"`, `.hidden.txt "h"`, `arr[0].txt "r"`, `sub/c.txt "c"`, `sub/deep/d.txt "d"`, `other/c.txt "o"`,
		`to-a -> a.txt`, `to-sub -> sub`, `abs -> /sub/c.txt`, `chain -> to-sub/deep`, `above -> ../../sub/c.txt`,
	)
	tests := []struct {
		name    string
		sources string
		want    string // the root after COPY to /
	}{
		{"file", "a.txt", `a.txt "a"`},
		{"leading slash", "/a.txt", `a.txt "a"`},
		{"trailing slash", "sub/deep/", `d.txt "d"`},
		{"dots that stay inside", "sub/../a.txt", `a.txt "a"`},
		{"link to a file, under its own name", "to-a", `to-a "a"`},
		{"link to a directory", "to-sub/deep", `d.txt "d"`},
		{"absolute link counts from the tree", "abs", `abs "c"`},
		{"link above the tree counts from the tree", "above", `above "c"`},
		{"chain of links", "chain", `d.txt "d"`},
		{"star, hidden files too", "*.txt", lines(`.hidden.txt "h"`, `a.txt "a"`, `arr[0].txt "r"`, `b.txt "b"`)},
		{"question mark", "?.txt", lines(`a.txt "a"`, `b.txt "b"`)},
		{"class", "[b-z].txt", `b.txt "b"`},
		{"bracket as itself", "arr[[]0].txt", `arr[0].txt "r"`},
		{"star is one level", "*/c.txt", `c.txt "c"`},
		{"star under a link", "to-sub/*.txt", `c.txt "c"`},
		{"star names links, which are followed", "to-*", lines(`c.txt "c"`, `deep/`, `deep/d.txt "d"`, `to-a "a"`)},
		{"pattern without match beside a file", "a.txt none*", `a.txt "a"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := makeTree(t, "")
			sel := selectAll(t, openTree(t, makeTree(t, tree), Options{RootOwned: true}), strings.Fields(tt.sources)...)
			must(t, Copy(t.Context(), root, sel, "/", CopyOptions{}))
			checkTree(t, root, tt.want)
		})
	}
}

func TestSelectRefusesWhatIsNotThere(t *testing.T) {
	outside := filepath.Join(makeTree(t, `secret "s"`), "secret")
	tree := lines(
		`a.txt "a"`, `sub/b.txt "b"`, `ignored/x "x"`, `to-ignored -> ignored/x`, `hidden-link -> a.txt`,
		`abs -> `+outside, `up -> ../../../../../../../../../../..`+outside, `updir -> `+filepath.Dir(outside),
		`dangling -> nothing`, `loop -> loop`,
	)
	tests := []struct {
		name, source string
		is           error
		text         string
	}{
		{"missing", "nope", ErrNotFound, `"nope" not found`},
		{"missing below", "sub/nope", ErrNotFound, `"sub/nope" not found`},
		{"below a file", "a.txt/x", ErrNotFound, `"a.txt/x" not found`},
		{"only a pattern", "nope*", ErrNotFound, `"nope*" not found`},
		{"pattern below nothing", "nope/*", ErrNotFound, `"nope/*" not found`},
		{"pattern below a file", "a.txt/*", ErrNotFound, `"a.txt/*" not found`},
		{"bad pattern", "a[", filepath.ErrBadPattern, `"a["`},
		{"ignored", "ignored", ErrNotFound, `"ignored" not found (excluded by .dockerignore)`},
		{"below ignored", "ignored/x", ErrNotFound, "excluded by .dockerignore"},
		{"link to ignored", "to-ignored", ErrNotFound, "excluded by .dockerignore"},
		{"ignored link", "hidden-link", ErrNotFound, "excluded by .dockerignore"},
		{"parent", "../x", ErrOutside, `"../x" leads outside`},
		{"only parent", "..", ErrOutside, `".." leads outside`},
		{"parent from below", "sub/../../x", ErrOutside, "leads outside"},
		{"absolute link", "abs", ErrOutside, `"abs" leads outside`},
		{"link above", "up", ErrOutside, `"up" leads outside`},
		{"through a link", "updir/secret", ErrOutside, `"updir/secret" leads outside`},
		{"dangling", "dangling", ErrNotFound, `"dangling" not found`},
		{"pattern names a dangling link", "dang*", ErrNotFound, `"dangling"`},
		{"loop", "loop", nil, "too many levels of symbolic links"},
	}
	dir := makeTree(t, tree)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openTree(t, dir, Options{RootOwned: true, Ignore: []string{"ignored", "hidden-link"}})
			_, err := c.Select(t.Context(), []string{tt.source})
			checkError(t, err, tt.is, tt.text)
			var se *Error
			if !errors.As(err, &se) || se.Source != tt.source {
				t.Errorf("error %v is not about source %q", err, tt.source)
			}
		})
	}
}

func TestSelectOfStageTakesAbsoluteLinkAsMissing(t *testing.T) {
	tree := openTree(t, makeTree(t, "l -> /nope"), Options{})
	_, err := tree.Select(t.Context(), []string{"l"})
	checkError(t, err, ErrNotFound, "")
}

func TestIgnoreLeavesOut(t *testing.T) {
	tree := lines(
		`a.go "1"`, `a.md "2"`, `README.md "3"`, `node_modules/x/index.js "4"`, `sub/b.go "5"`, `sub/b.md "6"`,
		`sub/node_modules/y.js "7"`, `sub/keep/k.md "8"`, `vendor/v.go "9"`,
	)
	tests := []struct {
		name     string
		patterns string // one in a line
		want     string // of names, with slashes for directories
	}{
		{"nothing", "", "README.md a.go a.md node_modules/ node_modules/x/ node_modules/x/index.js sub/ sub/b.go sub/b.md sub/keep/ sub/keep/k.md sub/node_modules/ sub/node_modules/y.js vendor/ vendor/v.go"},
		{"top level only", "*.md\nnode_modules", "a.go sub/ sub/b.go sub/b.md sub/keep/ sub/keep/k.md sub/node_modules/ sub/node_modules/y.js vendor/ vendor/v.go"},
		{"any level", "**/*.md\n**/node_modules", "a.go sub/ sub/b.go sub/keep/ vendor/ vendor/v.go"},
		{"exception", "*.md\n!README.md\nsub\nnode_modules\nvendor", "README.md a.go"},
		{"last match wins", "!README.md\n*.md\nsub\nnode_modules\nvendor", "a.go"},
		{"exception brings its parents", "*\n!sub/keep", "sub/ sub/keep/ sub/keep/k.md"},
		{"exception at any level", "**\n!**/*.go", "a.go sub/ sub/b.go vendor/ vendor/v.go"},
		{"exception for contents", "sub\n!sub/*\nnode_modules\nvendor\n*.md", "a.go sub/ sub/b.go sub/b.md sub/keep/ sub/keep/k.md sub/node_modules/ sub/node_modules/y.js"},
		{"exception of nothing leaves no empty parent", "sub\n!sub/nope\nnode_modules\nvendor\n*.md", "a.go"},
		{"exception of a parent, then again", "*\n!sub\nsub/keep\nsub/node_modules", "sub/ sub/b.go sub/b.md"},
		{"slashes and comments", "# comment\n/sub/\n ./vendor \nnode_modules/**\n*.md", "a.go node_modules/"},
		{"everything", "*", ""},
		{"single character", "?.go\n*.md\nsub\nvendor\nnode_modules", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := makeTree(t, tree)
			must(t, os.WriteFile(filepath.Join(dir, "B.dockerignore"), []byte(tt.patterns), 0o644))
			patterns, err := ReadIgnore(dir, filepath.Join(dir, "B"))
			must(t, err)
			must(t, os.Remove(filepath.Join(dir, "B.dockerignore")))
			sel := selectAll(t, openTree(t, dir, Options{Ignore: patterns}), ".")
			if d := cmp.Diff(strings.Fields(tt.want), names(sel), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("selection (-want +got):\n%s", d)
			}
		})
	}
}

// names lists what lies in the first item of a selection.
func names(s *Selection) []string { return namesBelow("", s.items[0].node.kids) }

func namesBelow(dir string, kids []node) (names []string) {
	for i := range kids {
		name := dir + kids[i].name
		if kids[i].meta.isDir() {
			name += "/"
		}
		names = append(append(names, name), namesBelow(name, kids[i].kids)...)
	}
	return names
}

func TestIgnoreHoldsForPatternsAndNames(t *testing.T) {
	tree := openTree(t, makeTree(t, lines(`a.md "1"`, `b.md "2"`, `d/x "3"`, `d/y "4"`)), Options{Ignore: []string{"a.md", "d", "!d/y"}})
	root := makeTree(t, "")
	must(t, Copy(t.Context(), root, selectAll(t, tree, "*.md", "d", "d/y"), "/", CopyOptions{}))
	checkTree(t, root, lines(`b.md "2"`, `y "4"`))
}

func TestReadIgnorePrefersTheFileBesideTheBuildfile(t *testing.T) {
	dir := makeTree(t, lines(`.dockerignore "general\n"`, `a/Buildfile "x"`, `a/Buildfile.dockerignore "\ufeffspecial\n!/kept/\n"`, `b/Buildfile "x"`))
	tests := []struct {
		name, buildfile string
		want            []string
	}{
		{"its own", "a/Buildfile", []string{"special", "!kept"}},
		{"the one of the context", "b/Buildfile", []string{"general"}},
		{"from elsewhere", "", []string{"general"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			buildfile := tt.buildfile
			if buildfile != "" {
				buildfile = filepath.Join(dir, buildfile)
			}
			got, err := ReadIgnore(dir, buildfile)
			must(t, err)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadIgnoreRefuses(t *testing.T) {
	outside := makeTree(t, `secret "s"`)
	tests := []struct{ name, tree, text string }{
		{"bad pattern", `.dockerignore "ok\n[a\n"`, `.dockerignore: pattern "[a": syntax error in pattern`},
		{"bad exception", `.dockerignore "![z-a]\n"`, `pattern "![z-a]"`},
		{"empty exception", `.dockerignore "!\n"`, `pattern "!"`},
		{"link to outside", ".dockerignore -> " + outside + "/secret", ".dockerignore"},
		{"fifo", ".dockerignore |", "not a regular file"},
		{"directory", ".dockerignore/", "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadIgnore(makeTree(t, tt.tree), "")
			checkError(t, err, nil, tt.text)
		})
	}
}

func TestReadIgnoreWithoutFileIsNil(t *testing.T) {
	got, err := ReadIgnore(makeTree(t, ""), "")
	must(t, err)
	if got != nil {
		t.Errorf("got %q, want nil", got)
	}
}

func FuzzReadIgnore(f *testing.F) {
	for _, s := range []string{"*", "**/x\n!y", "[a-", "\\", "!\n", "a/../b", "\xef\xbb\xbf# c\n/"} {
		f.Add(s, "a/b")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		patterns, err := parseIgnore(strings.NewReader(text))
		if err != nil {
			return
		}
		filter, err := newFilter(patterns)
		if err != nil {
			t.Fatalf("patterns %q passed the check, but: %v", patterns, err)
		}
		if name = strings.Trim(filepath.Clean("/"+name), "/"); name == "" {
			return
		}
		if _, _, err := filter.enter(name); err != nil {
			t.Fatalf("patterns %q passed the check, but match %q: %v", patterns, name, err)
		}
	})
}
