package source

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCopyWithAnEpochWritesFinalTimes uses an epoch of 500 seconds. What has no time in a tree has that of the test.
func TestCopyWithAnEpochWritesFinalTimes(t *testing.T) {
	at := time.Unix(500, 0)
	clamped, exact := CopyOptions{Epoch: &at}, CopyOptions{Epoch: &at, Exact: true}
	from := lines(`d/ @100`, `d/old "1" @200`, `d/new "2"`, `d/s/ @700`, `d/s/l -> old @300`, `d/s/p |`)
	runCopies(t, []copyCase{
		{
			name: "later times are the epoch", from: from, sources: "d", dest: "/n", opts: clamped,
			want: lines(`n/ @100`, `n/new "2" @500`, `n/old "1" @200`, `n/s/ @500`, `n/s/l -> old @300`, `n/s/p | @500`),
		},
		{
			name: "what comes from a context has the epoch", from: from, sources: "d", dest: "/n", opts: exact,
			want: lines(`n/ @500`, `n/new "2" @500`, `n/old "1" @500`, `n/s/ @500`, `n/s/l -> old @500`, `n/s/p | @500`),
		},
		{
			name: "directories that are made on the way", from: `f "x" @100`, into: `d/ @600`, sources: "f", dest: "/d/a/b/", opts: clamped,
			want: lines(`d/ @500`, `d/a/ @500`, `d/a/b/ @500`, `d/a/b/f "x" @100`),
		},
		{
			name: "a directory that got an entry, and those that did not", from: `f "x"`, sources: "f", dest: "/d/e/", opts: exact,
			into: lines(`d/ @600`, `d/e/ @650`, `d/e/u/ @700`, `d/e/g "y" @800`, `o/ @900`),
			want: lines(`d/ @600`, `d/e/ @500`, `d/e/f "x" @500`, `d/e/g "y" @800`, `d/e/u/ @700`, `o/ @900`),
		},
		{
			name: "a directory that is merged into another", from: lines(`d/s/ @100`, `d/s/f "x" @200`, `d/ @600`), sources: "d", dest: "/d", opts: clamped,
			into: lines(`d/ @900`, `d/s/ @800`, `d/s/g "y" @700`, `d/t/ @650`),
			want: lines(`d/ @500`, `d/s/ @100`, `d/s/f "x" @200`, `d/s/g "y" @700`, `d/t/ @650`),
		},
		{
			name: "through a link", from: `f "x" @100`, into: lines(`usr/lib/ @600`, `lib -> usr/lib @600`, `usr/ @600`), sources: "f", dest: "/lib/", opts: clamped,
			want: lines(`lib -> usr/lib @600`, `usr/ @600`, `usr/lib/ @500`, `usr/lib/f "x" @100`),
		},
		{
			name: "hard links", from: lines(`d/f "x" @100`, `d/g = d/f`, `d/h "y"`, `d/i = d/h`), sources: "d", dest: "/", opts: clamped,
			want: lines(`f "x" @100`, `g = f`, `h "y" @500`, `i = h`),
		},
	})
}

func TestDocumentsHaveTheEpoch(t *testing.T) {
	requireRoot(t)
	at, root := time.Unix(500, 0), makeTree(t, `d/ @600`)
	sel := Inline([]File{{Name: "f", Data: []byte("x")}})
	must(t, Copy(t.Context(), root, sel, "/d/", CopyOptions{Epoch: &at}))
	checkTree(t, root, lines(`d/ @500`, `d/f "x" @500`))
}

// TestArchivesAreClamped unpacks one with an entry whose directory it does not name: that is made on the way.
func TestArchivesAreClamped(t *testing.T) {
	requireRoot(t)
	at := time.Unix(500, 0)
	file := func(name string, sec int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, ModTime: time.Unix(sec, 0), Linkname: "x"}
	}
	dir := func(name string, sec int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(sec, 0)}
	}
	archive := makeTar(t,
		dir("a/", 100), file("a/old", 200), file("a/new", 600), dir("b/", 700),
		tar.Header{Name: "b/l", Typeflag: tar.TypeSymlink, Linkname: "x", ModTime: time.Unix(800, 0)},
		file("c/d/f", 300), file("in/e/f", 400), file("lnk/g", 400), file("./top", 600), file("o/same", 400),
	)
	for name, opts := range map[string]CopyOptions{"": {Unpack: true, Epoch: &at}, "exact": {Unpack: true, Epoch: &at, Exact: true}} {
		context := makeTree(t, "")
		must(t, os.WriteFile(filepath.Join(context, "x.tar"), archive, 0o644))
		root := makeTree(t, lines(`n/in/ @900`, `n/in/e/ @900`, `n/o/ @450`, `n/u/ @900`, `n/to/ @900`, `n/lnk -> to @900`, `p/ @900`))
		must(t, Copy(t.Context(), root, selectAll(t, openTree(t, context, Options{}), "x.tar"), "/n/", opts))
		checkTree(t, root, lines(
			`n/ @500`, `n/a/ @100`, `n/a/new "x" @500`, `n/a/old "x" @200`, `n/b/ @500`, `n/b/l -> x @500`, `n/c/ @500`, `n/c/d/ @500`,
			`n/c/d/f "x" @300`, `n/in/ @900`, `n/in/e/ @500`, `n/in/e/f "x" @400`, `n/lnk -> to @900`, `n/o/ @500`, `n/o/same "x" @400`,
			`n/to/ @500`, `n/to/g "x" @400`, `n/top "x" @500`, `n/u/ @900`, `p/ @900`,
		))
		if t.Failed() {
			t.Logf("with %q", name)
		}
	}
}

func TestPlaceMakesTheLayerOfCopyWithAnEpoch(t *testing.T) {
	requireRoot(t)
	from := lines(`d/ @100`, `d/old "1" @200`, `d/new "2" @700`, `d/s/ @700`, `d/s/f "x" @300`, `d/s/l -> old @800`, `d/p |`)
	at := time.Unix(500, 0)
	for name, test := range map[string]struct{ lower, source, dest string }{
		"on nothing":                  {"", "d", "/"},
		"directories on the way":      {"", "d", "/a/b/"},
		"one file":                    {`a/ @600`, "d/new", "/a/b/"},
		"one file into a directory":   {`a/ @600`, "d/old", "/a/"},
		"over others":                 {lines(`new "3" @600`, `old "1" @200`, `s/ @900`, `s/g "y" @900`), "d", "/"},
		"in a directory below":        {lines(`a/ @600`, `a/s/ @900`, `a/s/g "y" @900`), ".", "/a"},
		"through a link to elsewhere": {lines(`a/ @600`, `l -> a @600`), "d", "/l/"},
	} {
		for _, exact := range []bool{false, true} {
			lower := ""
			if test.lower != "" {
				lower = makeTree(t, test.lower)
			}
			copied, placed, err, placeErr := bothWays(t, lower, makeTree(t, from), test.source, test.dest, CopyOptions{Epoch: &at, Exact: exact})
			must(t, err)
			must(t, placeErr)
			if !bytes.Equal(copied, placed) {
				t.Errorf("%s, exact: %t: layers (-copied +placed):\n%s", name, exact, cmp.Diff(headers(t, copied), headers(t, placed)))
			}
			for line := range strings.Lines(headers(t, copied)) {
				if stamp := strings.Fields(line)[5]; stamp > "@500" || exact && stamp != "@500" {
					t.Errorf("%s, exact: %t: time is not the epoch in %s", name, exact, line)
				}
			}
		}
	}
}
