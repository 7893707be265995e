package source

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/layer"
)

// stack is an overlay mount for one copy.
type stack struct{ dir, lower string }

// newStack mounts lower below an empty directory; without a lower tree the upper directory is all.
func newStack(tb testing.TB, lower string) stack {
	tb.Helper()
	s := stack{dir: tb.TempDir(), lower: lower}
	for _, name := range []string{"upper", "work", "mnt"} {
		must(tb, os.Mkdir(filepath.Join(s.dir, name), 0o755))
	}
	if lower == "" {
		return s
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, s.dir, s.dir)
	if err := unix.Mount("overlay", filepath.Join(s.dir, "mnt"), "overlay", 0, options); err != nil {
		if os.Getenv("LBUILD_TEST_STRICT") == "1" {
			tb.Fatalf("no overlay: %v", err)
		}
		tb.Skipf("no overlay: %v", err)
	}
	return s
}

func (s stack) root() string {
	if s.lower == "" {
		return filepath.Join(s.dir, "upper")
	}
	return filepath.Join(s.dir, "mnt")
}

func (s stack) close(tb testing.TB) {
	tb.Helper()
	if s.lower != "" {
		must(tb, unix.Unmount(s.root(), unix.MNT_DETACH))
	}
	must(tb, os.RemoveAll(s.dir))
}

func (s stack) walk(ctx context.Context) iter.Seq2[diff.Change, error] {
	opts := diff.UpperOptions{Upper: filepath.Join(s.dir, "upper"), Epoch: &epoch}
	if s.lower != "" {
		opts.Lower = []string{s.lower}
	}
	return diff.Upper(ctx, opts)
}

// epoch is later than the times in the trees of these tests, and earlier than that of directories made on the way.
var epoch = time.Unix(oldest, 0)

// pack gives a layer as its tar.
func pack(ctx context.Context, changes iter.Seq2[diff.Change, error]) ([]byte, error) {
	var b bytes.Buffer
	_, err := layer.Write(ctx, &b, changes, layer.Options{Compression: compress.Compression{Name: compress.None}, Epoch: &epoch})
	return b.Bytes(), err
}

// bothWays packs what COPY makes of sources on a lower tree: by a walk over a copy, and by Place.
func bothWays(tb testing.TB, lower, from, source, dest string, opts CopyOptions) (copied, placed []byte, err, placeErr error) {
	tb.Helper()
	tree, err := Open(from, Options{})
	must(tb, err)
	defer func() { must(tb, tree.Close()) }()
	a, b := newStack(tb, lower), newStack(tb, lower)
	defer a.close(tb)
	defer b.close(tb)
	ctx := tb.Context()

	first, second := selectAll(tb, tree, source), selectAll(tb, tree, source)
	want, err := first.Digest(ctx)
	must(tb, err)
	if err = Copy(ctx, a.root(), first, dest, opts); err == nil {
		copied, err = pack(ctx, a.walk(ctx))
	}
	if !second.CanPlace(opts) {
		tb.Fatalf("cannot place %s", source)
	}
	p, placeErr := Place(ctx, b.root(), second, dest, opts)
	if placeErr == nil {
		placed, placeErr = pack(ctx, p.Changes(b.walk(ctx)))
	}
	if placeErr == nil {
		got, err := second.Digest(ctx)
		must(tb, err)
		if got != want {
			tb.Errorf("digest after one pass is %s, not %s", got, want)
		}
	}
	return copied, placed, err, placeErr
}

func TestPlaceMakesTheLayerOfCopy(t *testing.T) {
	requireRoot(t)
	old := lines(`a/ 700 @1`, `a/f "one" @2`, `a/g "two" 4755 1:2 @3`, `a/h = a/g`, `a/l -> f @4`, `a/b/ @5`, `a/b/x "x" user.a=1 @6`, `a/b/y "" @7`,
		`a/b.c "dot" @8`, `a/p | @9`, `a/s $ @10`, `a/c c1:3 @11`, `a-b "dash" @12`)
	tests := []struct {
		name, lower, source, dest string
		opts                      CopyOptions
	}{
		{name: "on nothing", source: "a", dest: "/"},
		{name: "below", source: "a", dest: "/x/y/"},
		{name: "all", source: ".", dest: "/"},
		{name: "with another owner and mode", source: "a", dest: "/", opts: CopyOptions{Owner: &Owner{UID: 7, GID: 8}, Mode: "u+x,go-r"}},
		{name: "over the same", lower: old, source: ".", dest: "/"},
		{name: "over some of the same", lower: lines(`f "one" @2`, `g "two" @3`, `b/ @5`, `b/x "xx"`), source: "a", dest: "/"},
		{name: "files and directories that were there", lower: lines(`d/ 711 3:4 @1`, `d/b/ 700`, `d/b/z "z"`, `d/f "ONE" @2`), source: "a", dest: "/d"},
		{name: "through links", lower: lines(`usr/lib/`, `lib -> usr/lib`, `usr/lib/k "k"`), source: "a", dest: "/lib/"},
		{name: "one file", lower: `d/`, source: "a/f", dest: "/d/"},
		{name: "one file by another name", source: "a/f", dest: "/n"},
		{name: "one file over another", lower: `n "ONE" @2`, source: "a/f", dest: "/n"},
		{name: "one file over the same", lower: `n "one" @2`, source: "a/f", dest: "/n"},
		{name: "one file with attributes", source: "a/b/x", dest: "/"},
		{name: "no file", source: "a/p", dest: "/"},
		{name: "socket below", lower: `f $`, source: "a", dest: "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lower := ""
			if tt.lower != "" {
				lower = makeTree(t, tt.lower)
			}
			copied, placed, err, placeErr := bothWays(t, lower, makeTree(t, old), tt.source, tt.dest, tt.opts)
			must(t, errors.Join(err, placeErr))
			if len(copied) == 0 || !bytes.Equal(copied, placed) {
				t.Errorf("layers (-copied +placed):\n%s", cmp.Diff(headers(t, copied), headers(t, placed)))
			}
		})
	}
}

func TestPlaceMakesTheLayerOfCopyInDirectoriesWithDefaultRights(t *testing.T) {
	requireRoot(t)
	lower := makeTree(t, `d/`)
	// user::rwx, group::r-x, group 5 rwx, mask::rwx, other::---
	acl := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x04\x00\x05\x00\xff\xff\xff\xff" + "\x08\x00\x07\x00\x05\x00\x00\x00" +
		"\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	must(t, unix.Setxattr(filepath.Join(lower, "d"), "system.posix_acl_default", []byte(acl), 0))
	copied, placed, err, placeErr := bothWays(t, lower, makeTree(t, lines(`f "1" @1`, `e/g "2" @2`)), ".", "/d", CopyOptions{})
	must(t, errors.Join(err, placeErr))
	if !bytes.Equal(copied, placed) {
		t.Errorf("layers (-copied +placed):\n%s", cmp.Diff(headers(t, copied), headers(t, placed)))
	}
}

// drawTree draws a tree as text.
func drawTree(t *rapid.T, label string) string {
	var b strings.Builder
	files := []string{}
	dirs := []string{""}
	seen := map[string]bool{}
	for i := range rapid.IntRange(0, 14).Draw(t, label) {
		name := dirs[rapid.IntRange(0, len(dirs)-1).Draw(t, "in")] + rapid.SampledFrom([]string{"a", "a.b", "a-b", "b", "c"}).Draw(t, "name")
		if seen[name] {
			continue
		}
		seen[name] = true
		options := fmt.Sprintf("%s %d:%d @%d", rapid.SampledFrom([]string{"600", "644", "4755", "2711", "1777"}).Draw(t, "mode"),
			rapid.IntRange(0, 1).Draw(t, "uid"), rapid.IntRange(0, 1).Draw(t, "gid"), rapid.IntRange(1, 3).Draw(t, "time"))
		switch kind := rapid.IntRange(0, 8).Draw(t, "kind"); {
		case kind < 3:
			dirs = append(dirs, name+"/")
			fmt.Fprintf(&b, "%s/ %s\n", name, options)
		case kind == 3:
			fmt.Fprintf(&b, "%s -> %s @%d\n", name, rapid.SampledFrom([]string{"a", "/b", "../c"}).Draw(t, "to"), i)
		case kind == 4 && len(files) > 0:
			fmt.Fprintf(&b, "%s = %s\n", name, files[rapid.IntRange(0, len(files)-1).Draw(t, "twin")])
		case kind == 5:
			fmt.Fprintf(&b, "%s \"x\" %s user.a=1\n", name, options)
		default:
			files = append(files, name)
			fmt.Fprintf(&b, "%s %q %s\n", name, rapid.SampledFrom([]string{"", "x", "yy"}).Draw(t, "data"), options)
		}
	}
	return b.String()
}

func TestPlaceMakesTheLayerOfCopyForAnyTrees(t *testing.T) {
	requireRoot(t)
	rapid.Check(t, func(rt *rapid.T) {
		lowerText, fromText := drawTree(rt, "lower"), drawTree(rt, "context")
		dest := rapid.SampledFrom([]string{"/", "/a", "/a/b/", "/n/m"}).Draw(rt, "dest")
		opts := CopyOptions{Mode: rapid.SampledFrom([]string{"", "640", "u+s,o-r"}).Draw(rt, "chmod")}
		if rapid.Bool().Draw(rt, "chown") {
			opts.Owner = &Owner{UID: 5, GID: 6}
		}
		lower := ""
		if rapid.Bool().Draw(rt, "on a base") {
			lower = makeTree(t, lowerText)
		}
		copied, placed, err, placeErr := bothWays(t, lower, makeTree(t, fromText), ".", dest, opts)
		if (err == nil) != (placeErr == nil) {
			rt.Fatalf("copy: %v\nplace: %v", err, placeErr)
		}
		if err == nil && !bytes.Equal(copied, placed) {
			rt.Fatalf("lower:\n%s\ncontext:\n%s\nlayers (-copied +placed):\n%s", lowerText, fromText, cmp.Diff(headers(t, copied), headers(t, placed)))
		}
	})
}

func TestPlaceRefusesFilesThatChange(t *testing.T) {
	for name, change := range map[string]func(string) error{
		"grown":    func(f string) error { return os.WriteFile(f, []byte("longer"), 0o644) },
		"written":  func(f string) error { return os.WriteFile(f, []byte("two"), 0o644) },
		"gone":     os.Remove,
		"replaced": func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o755)) },
		"a fifo":   func(f string) error { return errors.Join(os.Remove(f), unix.Mkfifo(f, 0o644)) },
		"a link":   func(f string) error { return errors.Join(os.Remove(f), os.Symlink("g", f)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, root := makeTree(t, lines(`d/f "one"`, `d/g "two"`)), makeTree(t, "")
			cache := &DigestCache{}
			sel := selectAll(t, openTree(t, dir, Options{Digests: cache}), ".")
			time.Sleep(20 * time.Millisecond) // more than a tick of the clock of a file system
			p, err := Place(t.Context(), root, sel, "/", CopyOptions{})
			must(t, err)
			must(t, change(filepath.Join(dir, "d/f")))
			_, err = pack(t.Context(), p.Changes(diff.Upper(t.Context(), diff.UpperOptions{Upper: root})))
			checkError(t, err, ErrChanged, `"d/f"`)
			if len(cache.files) != 0 {
				t.Error("a digest was remembered")
			}
		})
	}
}

func TestPlacedFillsTheDigestCache(t *testing.T) {
	requireRoot(t)
	dir := makeTree(t, lines(`d/f "one"`, `d/g "two"`))
	time.Sleep(settled + 10*time.Millisecond)
	root, cache := makeTree(t, ""), &DigestCache{}
	p, err := Place(t.Context(), root, selectAll(t, openTree(t, dir, Options{Digests: cache}), "."), "/", CopyOptions{})
	must(t, err)
	_, err = pack(t.Context(), p.Changes(diff.Upper(t.Context(), diff.UpperOptions{Upper: root})))
	must(t, err)
	if len(cache.files) != 2 {
		t.Errorf("%d digests remembered, want 2", len(cache.files))
	}
}

func TestPlacedWarnsOfHoles(t *testing.T) {
	dir, root := makeTree(t, lines(`d/`, `d/small "x"`)), makeTree(t, "")
	must(t, os.Truncate(filepath.Join(dir, "d/small"), 1<<20))
	must(t, os.WriteFile(filepath.Join(dir, "d/a"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(dir, "d/a"), 4<<20))
	p, err := Place(t.Context(), root, selectAll(t, openTree(t, dir, Options{}), "d"), "/x", CopyOptions{})
	must(t, err)
	want := []diff.Warning{{Kind: diff.Sparse, Path: "x/a", Size: 4 << 20}}
	if d := cmp.Diff(want, p.Warnings()); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}

func TestPathsComeInTheOrderOfAWalk(t *testing.T) {
	want := []string{".", "a", "a/b", "a/b/c", "a/c", "a-b", "a.b", "a0", "b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b string) int {
		if before(a, b) {
			return -1
		}
		return 1
	})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

// headers tells the entries of a tar, a line each.
func headers(tb testing.TB, data []byte) string {
	tb.Helper()
	var b strings.Builder
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err != nil {
			return b.String()
		}
		content, err := io.ReadAll(r)
		must(tb, err)
		fmt.Fprintf(&b, "%c %s %o %d:%d %d @%d %s %v %s\n", h.Typeflag, h.Name, h.Mode, h.Uid, h.Gid, h.Size, h.ModTime.Unix(), h.Linkname, h.PAXRecords, digest.FromBytes(content))
	}
}
