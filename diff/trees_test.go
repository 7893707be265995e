package diff_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

// toldOfTrees lists what Trees tells, a line each.
func toldOfTrees(opts diff.TreesOptions) (lines []string, err error) {
	for c, err := range diff.Trees(context.Background(), opts) {
		if err != nil {
			return lines, err
		}
		line := c.Kind.String() + " " + c.Path
		if c.Hardlink != "" {
			line += " => " + c.Hardlink
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func TestTreesTellsWhatChanged(t *testing.T) {
	for _, tc := range []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", `d/
			d/f "1"
			s -> d`, `d/
			d/f "1"
			s -> d`, nil},
		{"content of the same size and time", `f "1"`, `f "2"`, []string{"modify f"}},
		{"only a time", `f "1"`, `f "1" mtime=5`, []string{"modify f"}},
		{"only an attribute", `f user.k="1"`, `f user.k="2"`, []string{"modify f"}},
		{"only an attribute of a directory", `d/`, `d/ user.k="1"`, []string{"modify d"}},
		{"the target of a link", `s -> a`, `s -> b`, []string{"modify s"}},
		{"a name that is gone with all below it", `d/
			d/f`, ``, []string{"delete d"}},
		{"deletions come first", `d/
			d/a
			d/c`, `d/
			d/b`, []string{"modify d", "delete d/a", "delete d/c", "add d/b"}},
		{"a directory only on the way", `d/
			d/f "1"`, `d/
			d/f "2"`, []string{"modify d", "modify d/f"}},
		{"a file becomes a directory", `f "1"`, `f/
			f/x`, []string{"modify f", "add f/x"}},
		{"a directory becomes a link", `d/
			d/x`, `d -> e`, []string{"modify d"}},
		{"names in byte order", ``, `a/
			a/x
			a-b "1"`, []string{"add a", "add a/x", "add a-b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dirs := treetest.Lower(t, tc.old, tc.new)
			got, err := toldOfTrees(diff.TreesOptions{Old: dirs[0], New: dirs[1]})
			if d := cmp.Diff(tc.want, got); d != "" || err != nil {
				t.Errorf("changes (-want +got):\n%s%v", d, err)
			}
		})
	}
}

func TestTreesTellsLinks(t *testing.T) {
	for _, tc := range []struct {
		name, old, new string
		want           []string
	}{
		{"the same", `a "1"
			b => a`, `a "1"
			b => a`, nil},
		{"a further name", `b "1"`, `a "1"
			b => a
			c => a`, []string{"add a", "modify b => a", "add c => a"}},
		{"a name less", `a "1"
			b => a`, `a "1"`, []string{"delete b"}},
		{"two files become one", `a "1"
			b "1"`, `a "1"
			b => a`, []string{"modify a", "modify b => a"}},
		{"one file becomes two", `a "1"
			b => a`, `a "1"
			b "1"`, []string{"modify b"}},
		{"one file becomes two with two names each", `a "1"
			b => a
			c => a
			d => a`, `a "1"
			b "1"
			c => a
			d => b`, []string{"modify b", "modify d => b"}},
		{"names change partners", `a "1"
			b => a
			c "1"
			d => c`, `a "1"
			b "1"
			c => a
			d => b`, []string{"modify a", "modify b", "modify c => a", "modify d => b"}},
		{"one of its names is another file", `a "1"
			b => a`, `a "1"
			b "2"`, []string{"modify b"}},
		{"in other directories", `d/
			d/a "1"
			e/
			e/b "1"`, `d/
			d/a "1"
			e/
			e/b => d/a`, []string{"modify d", "modify d/a", "modify e", "modify e/b => d/a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dirs := treetest.Lower(t, tc.old, tc.new)
			got, err := toldOfTrees(diff.TreesOptions{Old: dirs[0], New: dirs[1]})
			if d := cmp.Diff(tc.want, got); d != "" || err != nil {
				t.Errorf("changes (-want +got):\n%s%v", d, err)
			}
		})
	}
}

func TestTreesWithoutAnOldTreeTellsEverything(t *testing.T) {
	dirs := treetest.Lower(t, "d/\nd/f \"1\"\ng => d/f")
	got, err := toldOfTrees(diff.TreesOptions{New: dirs[0]})
	if d := cmp.Diff([]string{"add .", "add d", "add d/f", "add g => d/f"}, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestTreesTellsTheRootUnlessOnlyItsTimeChanged(t *testing.T) {
	dirs := treetest.Lower(t, "", "")
	opts := diff.TreesOptions{Old: dirs[0], New: dirs[1]}
	if err := os.Chtimes(opts.New, time.Unix(5, 0), time.Unix(5, 0)); err != nil {
		t.Fatal(err)
	}
	if got, err := toldOfTrees(opts); len(got) > 0 || err != nil {
		t.Errorf("a new time tells %v, %v", got, err)
	}
	if err := os.Chmod(opts.New, 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := toldOfTrees(opts)
	if d := cmp.Diff([]string{"modify ."}, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
}

func TestTreesTakesTimesUpToTheEpochForTheSame(t *testing.T) {
	dirs := treetest.Lower(t, "f mtime=500", "f mtime=600")
	epoch := time.Unix(400, 0)
	got, err := toldOfTrees(diff.TreesOptions{Old: dirs[0], New: dirs[1], Epoch: &epoch})
	if len(got) > 0 || err != nil {
		t.Errorf("tells %v, %v", got, err)
	}
}

func TestTreesComparesAcrossFileSystems(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "trees")
	if err != nil {
		treetest.Skip(t, "no second file system at /dev/shm")
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	tree := "a \"1\"\nb => a\nd/\nd/f size=70000"
	treetest.Make(t, other, tree)
	dirs := treetest.Lower(t, tree)
	if got, err := toldOfTrees(diff.TreesOptions{Old: dirs[0], New: other}); len(got) > 0 || err != nil {
		t.Errorf("tells %v, %v", got, err)
	}
}

func TestTreesLeavesSocketsOutAndSaysSo(t *testing.T) {
	dirs := treetest.Lower(t, `s "1"`, "")
	listener, err := net.Listen("unix", filepath.Join(dirs[1], "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var warned []string
	got, err := toldOfTrees(diff.TreesOptions{
		Old: dirs[0], New: dirs[1], Warn: func(w diff.Warning) { warned = append(warned, w.String()) },
	})
	if d := cmp.Diff([]string{"delete s"}, got); d != "" || err != nil {
		t.Errorf("changes (-want +got):\n%s%v", d, err)
	}
	if d := cmp.Diff([]string{`"s" is a socket and was left out`}, warned); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}

func TestTreesRefusesAWhiteout(t *testing.T) {
	treetest.NeedRoot(t)
	dirs := treetest.Lower(t, "", "d/\nd/f char=0:0")
	_, err := toldOfTrees(diff.TreesOptions{Old: dirs[0], New: dirs[1]})
	pathErr, ok := errors.AsType[*diff.PathError](err)
	if !ok || pathErr.Path != "d/f" || !errors.Is(err, diff.ErrWhiteout) {
		t.Errorf("error is %v, want ErrWhiteout at d/f", err)
	}
}

func TestTreesKeepsMarksOfOverlayfsAsTheFilesOwn(t *testing.T) {
	treetest.NeedRoot(t)
	dirs := treetest.Lower(t, "d/", "")
	if err := os.Mkdir(filepath.Join(dirs[1], "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(filepath.Join(dirs[1], "d"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	for c, err := range diff.Trees(context.Background(), diff.TreesOptions{Old: dirs[0], New: dirs[1]}) {
		if err != nil {
			t.Fatal(err)
		}
		want := []diff.Xattr{{Name: "trusted.overlay.opaque", Value: "y"}}
		if d := cmp.Diff(want, c.Xattrs); d != "" || c.Opaque {
			t.Errorf("opaque %v, attributes (-want +got):\n%s", c.Opaque, d)
		}
	}
}

func TestTreesStopsWhenTheContextEnds(t *testing.T) {
	dirs := treetest.Lower(t, "", "a\nb\nc")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for c, err := range diff.Trees(ctx, diff.TreesOptions{Old: dirs[0], New: dirs[1]}) {
		if last = err; err == nil && c.Path == "c" {
			t.Error("went on to the end")
		}
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("error is %v", last)
	}
}

func TestTreesContentCanBeReadAfterTheWalk(t *testing.T) {
	dirs := treetest.Lower(t, "", "d/\nd/f \"text\"")
	var file diff.Change
	for c, err := range diff.Trees(context.Background(), diff.TreesOptions{Old: dirs[0], New: dirs[1]}) {
		if err != nil {
			t.Fatal(err)
		}
		file = c
	}
	r, err := file.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "text" || err != nil {
		t.Errorf("content is %q, %v", got, err)
	}
}
