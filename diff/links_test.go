package diff_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

// TestUpperTellsFilesOfTwoFileSystemsApart has two files with the same number, and meets the names of one between those of
// the other.
func TestUpperTellsFilesOfTwoFileSystemsApart(t *testing.T) {
	opts := diff.UpperOptions{Upper: treetest.Tmpfs(t, 0)}
	treetest.Make(t, opts.Upper, "b/\na\nz => a")
	inner := filepath.Join(opts.Upper, "b")
	treetest.TmpfsAt(t, inner, 0)
	want := numberOf(t, opts.Upper+"/a")
	for i := 0; ; i++ {
		if i == 1000 {
			t.Skip("this kernel numbers files across file systems")
		}
		treetest.Make(t, inner, "one")
		if numberOf(t, inner+"/one") == want {
			break
		}
		if err := os.Remove(inner + "/one"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(inner+"/one", inner+"/two"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b/one", "b/two => b/one", "z => a"}, linksTold(t, opts)); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
}

func numberOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestUpperJoinsAllNamesOfAFile(t *testing.T) {
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "d/\nd/x \"1\"\na => d/x\nd/y => d/x\nz => d/x")
	want := []string{"a", "d/x => a", "d/y => a", "z => a"}
	if d := cmp.Diff(want, linksTold(t, opts)); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
}

// linksTold returns the files of a walk, with what they are links to.
func linksTold(t *testing.T, opts diff.UpperOptions) []string {
	t.Helper()
	var told []string
	for c, err := range diff.Upper(context.Background(), opts) {
		switch {
		case err != nil:
			t.Fatal(err)
		case c.Hardlink != "":
			told = append(told, fmt.Sprintf("%s => %s", c.Path, c.Hardlink))
		case !c.Mode.IsDir():
			told = append(told, c.Path)
		}
	}
	return told
}
