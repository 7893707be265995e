package diff_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

// dirs makes an upper and a lower directory of two trees, without a mount.
func dirs(t *testing.T, upper, lower string) diff.UpperOptions {
	t.Helper()
	made := treetest.Lower(t, upper, lower)
	return diff.UpperOptions{Upper: made[0], Lower: made[1:]}
}

// told walks and prints each change as its kind and path, and the error that ended the walk.
func told(opts diff.UpperOptions) ([]string, error) {
	var all []string
	for c, err := range diff.Upper(context.Background(), opts) {
		if err != nil {
			return all, err
		}
		line := c.Kind.String() + " " + c.Path
		if c.Opaque {
			line += " opaque"
		}
		all = append(all, line)
	}
	return all, nil
}

func TestUpperWithoutLowerTellsEverythingAfterTheRoot(t *testing.T) {
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "d/\nd/f\na")
	got, err := told(opts)
	want := []string{"add .", "add a", "add d", "add d/f"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperWithoutLowerTellsNoDeletions(t *testing.T) {
	treetest.NeedRoot(t)
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "d/ trusted.overlay.opaque=\"y\"\nd/gone char=0:0\ngone char=0:0")
	got, err := told(opts)
	if d := cmp.Diff([]string{"add .", "add d"}, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperTellsKinds(t *testing.T) {
	treetest.NeedRoot(t)
	opts := dirs(t, `
		d/
		d/added
		d/changed "new"
		d/gone char=0:0
		d/same "x"
		re/ trusted.overlay.opaque="y"
		re/kept
	`, `
		d/
		d/changed "old"
		d/gone
		d/same "x"
		re/
		re/kept
	`)
	got, err := told(opts)
	want := []string{
		"modify d", "delete d/gone", "add d/added", "modify d/changed", "modify re opaque", "modify re/kept",
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperCountsUnchangedFiles(t *testing.T) {
	opts := dirs(t, "a \"123\"\nb \"12\"\nc \"x\"", "a \"123\"\nb \"12\"\nc \"y\"")
	opts.Stats = new(diff.Stats)
	got, err := told(opts)
	if d := cmp.Diff([]string{"modify c"}, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
	if d := cmp.Diff(&diff.Stats{Unchanged: 2, UnchangedBytes: 5}, opts.Stats); d != "" {
		t.Errorf("stats (-want +got):\n%s", d)
	}
}

func TestUpperComparesTimesAsTheEpochLeavesThem(t *testing.T) {
	opts := dirs(t, "a mtime=200\nb mtime=200\nd/ mtime=300", "a mtime=150\nb mtime=50\nd/ mtime=200")
	epoch := time.Unix(100, 5)
	opts.Epoch = &epoch
	got, err := told(opts)
	if d := cmp.Diff([]string{"modify b"}, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperKnowsWhiteoutsThatAreAttributes(t *testing.T) {
	treetest.NeedRoot(t)
	opts := dirs(t, `
		marked/ trusted.overlay.opaque="x"
		marked/gone trusted.overlay.whiteout="y"
		marked/long "4" trusted.overlay.whiteout="y"
		plain/
		plain/kept trusted.overlay.whiteout="y"
	`, `
		marked/
		marked/gone "1"
		marked/there "2"
		plain/
		plain/kept "3"
	`)
	got, err := told(opts)
	want := []string{"modify marked", "delete marked/gone", "add marked/long", "modify plain", "modify plain/kept"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperKnowsTheMarksOfLowerDirectories(t *testing.T) {
	treetest.NeedRoot(t)
	made := treetest.Lower(t, `
		hidden/
		hidden/f char=0:0
		hidden/g
		marked/
		marked/f char=0:0
		marked/g char=0:0
		marked/h
	`, `
		hidden/ trusted.overlay.opaque="y"
		marked/ trusted.overlay.opaque="x"
		marked/g trusted.overlay.whiteout="y"
		marked/h trusted.overlay.whiteout="y"
	`, `
		hidden/
		hidden/f
		hidden/g
		marked/
		marked/f
		marked/g
		marked/h
	`)
	got, err := told(diff.UpperOptions{Upper: made[0], Lower: made[1:]})
	want := []string{"modify hidden", "add hidden/g", "modify marked", "delete marked/f", "add marked/h"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperFollowsNoLinkOutOfALowerDirectory(t *testing.T) {
	outside := t.TempDir()
	treetest.Make(t, outside, `secret "x"`)
	opts := dirs(t, "d/\nd/secret \"x\"", "d -> "+outside)
	got, err := told(opts)
	if d := cmp.Diff([]string{"modify d", "add d/secret"}, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperFollowsNoLinkThatAppearsDuringTheWalk(t *testing.T) {
	outside := t.TempDir()
	treetest.Make(t, outside, "e/\ne/secret \"x\"")
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "d/\nd/e/\nd/e/f")
	var last error
	for c, err := range diff.Upper(context.Background(), opts) {
		last = err
		switch c.Path {
		case "d/e":
			err = errors.Join(os.Rename(opts.Upper+"/d", opts.Upper+"/d2"), os.Symlink(outside, opts.Upper+"/d"))
			if err != nil {
				t.Fatal(err)
			}
		case "d/e/secret":
			t.Error("a file outside of the tree was told")
		}
	}
	wantPathError(t, last, "d/e", diff.ErrChanged)
}

func TestUpperRefusesMarksThatOverlayfsRefuses(t *testing.T) {
	treetest.NeedRoot(t)
	for _, redirect := range []string{"../etc", "a/b", "/a/../../etc", "/", "//a", ".", ".."} {
		opts := dirs(t, fmt.Sprintf("d/ trusted.overlay.redirect=%q", redirect), "a/\na/f")
		_, err := told(opts)
		wantPathError(t, err, "d", diff.ErrMark)
	}
	_, err := told(dirs(t, `f "x" trusted.overlay.metacopy=""`, "g"))
	wantPathError(t, err, "f", diff.ErrMark)
	between := treetest.Lower(t, `f "x" trusted.overlay.metacopy=""`, "f/", `f "y"`)
	_, err = told(diff.UpperOptions{Upper: between[0], Lower: between[1:]})
	wantPathError(t, err, "f", diff.ErrMark)
}

func TestUpperRefusesNamesThatChangeOutOfSight(t *testing.T) {
	lower := treetest.Lower(t, "a \"x\"\nb => a")
	o := treetest.Mount(t, lower, treetest.Options{Mount: []string{"index=on"}})
	o.Sh(t, `printf y >a`)
	_, err := told(diff.UpperOptions{Upper: o.Upper, Lower: lower})
	wantPathError(t, err, "a", diff.ErrLinked)
}

func TestUpperRefusesToPartNamesByAMovedDirectory(t *testing.T) {
	lower := treetest.Lower(t, "a/\na/f \"x\"\na/g => a/f\nb/\nb/f \"y\"\nc => b/f")
	o := treetest.Mount(t, lower, treetest.Options{Mount: []string{"redirect_dir=on"}})
	o.Sh(t, `mv a moved`)
	if _, err := told(diff.UpperOptions{Upper: o.Upper, Lower: lower}); err != nil {
		t.Errorf("a directory with all names of a file: %v", err)
	}
	o.Sh(t, `mv b away`)
	_, err := told(diff.UpperOptions{Upper: o.Upper, Lower: lower})
	wantPathError(t, err, "away/f", diff.ErrLinked)
}

// wantPathError fails the test unless err is a PathError for this path with this cause.
func wantPathError(t *testing.T, err error, path string, cause error) {
	t.Helper()
	var pathErr *diff.PathError
	if !errors.As(err, &pathErr) || pathErr.Path != path || !errors.Is(err, cause) {
		t.Errorf("error is %v, want %v at %q", err, cause, path)
	}
}

func TestUpperStopsWhenToldSo(t *testing.T) {
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "a/\na/b/\na/b/c\nd")
	before := descriptors(t)
	for stop := 1; stop <= 5; stop++ {
		seen := 0
		for _, err := range diff.Upper(context.Background(), opts) {
			if seen++; err != nil || seen == stop {
				break
			}
		}
		if seen != stop {
			t.Errorf("told %d changes, want %d", seen, stop)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestUpperEndsWithTheContext(t *testing.T) {
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "a\nb\nc")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	seen := 0
	for c, err := range diff.Upper(ctx, opts) {
		last = err
		seen++
		if c.Path == "a" {
			cancel()
		}
	}
	if seen != 3 || !errors.Is(last, context.Canceled) {
		t.Errorf("told %d times, the last with %v; want the root, a, and %v", seen, last, context.Canceled)
	}
}

func TestUpperNeedsItsDirectories(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for _, opts := range []diff.UpperOptions{
		{},
		{Upper: missing},
		{Upper: dir, Lower: []string{missing}},
	} {
		if got, err := told(opts); !errors.Is(err, os.ErrNotExist) || got != nil {
			t.Errorf("%+v: %v, %v", opts, got, err)
		}
	}
}

func TestUpperSearchesManyLowerDirectories(t *testing.T) {
	trees := make([]string, 120)
	for i := range trees {
		trees[i] = fmt.Sprintf("d/\nd/f%d \"x\"\nd/common \"%d\"", i, i)
	}
	lower := treetest.Lower(t, trees...)
	o := treetest.Mount(t, lower, treetest.Options{})
	o.Sh(t, `rm d/f0 d/f119; printf y >d/f60; mv d/common d/t; mv d/t d/common; touch -d @1000000000 d`)
	got, err := told(diff.UpperOptions{Upper: o.Upper, Lower: lower})
	want := []string{"modify d", "delete d/f0", "delete d/f119", "modify d/f60"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestUpperSortsAttributes(t *testing.T) {
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "f")
	want := []diff.Xattr{{Name: "user.a", Value: "1"}, {Name: "user.b", Value: "2"}, {Name: "user.c", Value: "3"}}
	for _, i := range []int{1, 2, 0} {
		if err := unix.Setxattr(opts.Upper+"/f", want[i].Name, []byte(want[i].Value), 0); err != nil {
			t.Fatal(err)
		}
	}
	for c, err := range diff.Upper(context.Background(), opts) {
		if d := cmp.Diff(want, c.Xattrs); c.Path == "f" && d != "" || err != nil {
			t.Errorf("attributes (-want +got):\n%s%v", d, err)
		}
	}
}
