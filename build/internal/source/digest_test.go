package source

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func digestOf(tb testing.TB, dir string, opts Options, sources ...string) digest.Digest {
	tb.Helper()
	d, err := selectAll(tb, openTree(tb, dir, opts), sources...).Digest(tb.Context())
	must(tb, err)
	return d
}

// sample has every kind of entry in it.
var sample = lines(
	`d/f "text" 640 1:2 user.a=1`, `d/g "more"`, `d/l -> f`, `d/s/h "deep"`, `d/c c1:3`, `d/p |`, `e "e"`, `m "m"`, `n = m`,
)

func TestDigestIsThatOfTheContent(t *testing.T) {
	requireRoot(t)
	base := digestOf(t, makeTree(t, sample), Options{}, "d", "e")
	tests := []struct {
		name    string
		change  string // entries, after those to remove
		remove  string
		sources []string
		same    bool
	}{
		{name: "another place", same: true},
		{name: "other times", change: lines(`d/f "text" @5`, `d/s/ @6`, `d/l -> f @7`), remove: "d/l", same: true},
		{name: "mode of the directory whose contents are copied", change: `d/ 700`, same: true},
		{name: "byte", change: `d/f "texT"`},
		{name: "byte in another file", change: `e "E"`},
		{name: "mode", change: `d/g "more" 600`},
		{name: "setuid", change: `d/g "more" 4644`},
		{name: "mode of a directory", change: `d/s/ 700`},
		{name: "user", change: `d/g "more" 1:0`},
		{name: "group", change: `d/g "more" 0:1`},
		{name: "attribute value", change: `d/f "text" user.a=2`},
		{name: "attribute", change: `d/g "more" user.b=1`},
		{name: "attribute of a directory", change: `d/s/ user.b=1`},
		{name: "link target", remove: "d/l", change: `d/l -> g`},
		{name: "link to file", remove: "d/l", change: `d/l "text"`},
		{name: "device number", remove: "d/c", change: `d/c c1:5`},
		{name: "device kind", remove: "d/c", change: `d/c b1:3`},
		{name: "fifo to file", remove: "d/p", change: `d/p ""`},
		{name: "name", remove: "d/g", change: `d/G "more"`},
		{name: "one more", change: `d/z ""`},
		{name: "one more directory", change: `d/z/`},
		{name: "one less", remove: "d/g"},
		{name: "moved down", remove: "d/g", change: `d/s/g "more"`},
		{name: "hard link", remove: "d/g", change: lines(`d/a "more"`, `d/g = d/a`)},
		{name: "other source", sources: []string{"d", "m"}},
		{name: "other order", sources: []string{"e", "d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := makeTree(t, sample)
			if tt.remove != "" {
				must(t, os.RemoveAll(filepath.Join(dir, tt.remove)))
			}
			addTree(t, dir, tt.change)
			sources := []string{"d", "e"}
			if tt.sources != nil {
				sources = tt.sources
			}
			if got := digestOf(t, dir, Options{}, sources...); (got == base) != tt.same {
				t.Errorf("digest is the same: %v, want %v", got == base, tt.same)
			}
		})
	}
}

func TestDigestOfContextIgnoresOwners(t *testing.T) {
	requireRoot(t)
	a := digestOf(t, makeTree(t, `d/f "x" 1:1`), Options{RootOwned: true}, "d")
	b := digestOf(t, makeTree(t, `d/f "x" 2:2`), Options{RootOwned: true}, "d")
	if a != b {
		t.Error("owners in a context change the digest")
	}
}

func TestDigestIgnoresWhatIsLeftOut(t *testing.T) {
	a := digestOf(t, makeTree(t, lines(`f "x"`, `log "1"`)), Options{Ignore: []string{"log"}}, ".")
	b := digestOf(t, makeTree(t, lines(`f "x"`, `log "2"`)), Options{Ignore: []string{"log"}}, ".")
	if a != b {
		t.Error("an ignored file changes the digest")
	}
}

// A digest that changes with a release of lbuild makes every cache of its users useless.
func TestDigestStaysTheSameFromReleaseToRelease(t *testing.T) {
	requireRoot(t)
	sel := selectAll(t, openTree(t, makeTree(t, sample), Options{}), "d", "e", "m")
	sel.Append(Inline([]File{{Name: "EOF", Data: []byte("text")}}))
	got, err := sel.Digest(t.Context())
	must(t, err)
	const want = "sha256:95b91ec6b0f35e15ca01e1d558560c7feb9fb23b7b53b7d75e45ba3c3737eddf"
	if got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestDigestRefusesFileThatChanged(t *testing.T) {
	dir := makeTree(t, `f "one"`)
	sel := selectAll(t, openTree(t, dir, Options{}), "f")
	addTree(t, dir, `f "other"`)
	_, err := sel.Digest(t.Context())
	checkError(t, err, ErrChanged, `"f"`)
}

// A digest may be taken after the copy: then nothing but the digest can see that it is of something else.
func TestDigestRefusesWhatChangedAfterItWasCopied(t *testing.T) {
	requireRoot(t)
	for name, change := range map[string]string{"link": "d/x -> two", "device": "d/x c1:5", "file": `d/x "two"`} {
		t.Run(name, func(t *testing.T) {
			before := map[string]string{"link": "d/x -> one", "device": "d/x c1:3", "file": `d/x "one"`}[name]
			dir := makeTree(t, before)
			sel := selectAll(t, openTree(t, dir, Options{}), "d")
			must(t, Copy(t.Context(), makeTree(t, ""), sel, "/", CopyOptions{}))
			must(t, os.Remove(filepath.Join(dir, "d/x")))
			addTree(t, dir, change)
			_, err := sel.Digest(t.Context())
			checkError(t, err, ErrChanged, `"d/x"`)
		})
	}
}

func TestDigestStopsWhenCanceled(t *testing.T) {
	sel := selectAll(t, openTree(t, makeTree(t, `f "one"`), Options{}), "f")
	ctx, cancel := contextCanceled(t)
	defer cancel()
	_, err := sel.Digest(ctx)
	checkError(t, err, ctx.Err(), "")
}

func TestDigestCacheAnswersForUnchangedFiles(t *testing.T) {
	dir := makeTree(t, lines(`a "1"`, `b "2"`))
	time.Sleep(settled + 10*time.Millisecond) // younger files are never remembered
	want := digestOf(t, dir, Options{}, ".")

	cache := &DigestCache{}
	digestOf(t, dir, Options{Digests: cache}, ".")
	file := filepath.Join(t.TempDir(), "digests")
	must(t, cache.Save(file, t.TempDir()))
	loaded, err := LoadDigests(file)
	must(t, err)
	if len(loaded.files) != 2 {
		t.Fatalf("%d digests loaded, want 2", len(loaded.files))
	}
	if got := digestOf(t, dir, Options{Digests: loaded}, "."); got != want {
		t.Error("the remembered digest is not that of the files")
	}
	for name, r := range loaded.files { // a wrong digest shows that the file was not read
		r.sum[0]++
		loaded.files[name] = r
	}
	if got := digestOf(t, dir, Options{Digests: loaded}, "."); got == want {
		t.Error("the files were read again")
	}
	addTree(t, dir, lines(`a "1"`, `b "2"`))
	if got := digestOf(t, dir, Options{Digests: loaded}, "."); got != want {
		t.Error("files that were written were not read again")
	}
}

func TestDigestCacheForgetsYoungFiles(t *testing.T) {
	cache := &DigestCache{}
	digestOf(t, makeTree(t, `a "1"`), Options{Digests: cache}, ".")
	if len(cache.files) != 0 {
		t.Error("the digest of a file that just changed was remembered")
	}
}

func TestLoadDigestsOfDamagedFileIsEmpty(t *testing.T) {
	file := filepath.Join(makeTree(t, `digests "garbage"`), "digests")
	c, err := LoadDigests(file)
	must(t, err)
	if len(c.files) != 0 {
		t.Error("digests from garbage")
	}
	scratch := t.TempDir()
	must(t, c.Save(file, scratch))
	for dir, want := range map[string]int{filepath.Dir(file): 1, scratch: 0} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != want {
			t.Errorf("%v left, %v", left, err)
		}
	}
}
