package diff_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

// TestUpperTellsFilesOfTwoFileSystemsApart has files with the same number on two of them, as new ones give the same.
func TestUpperTellsFilesOfTwoFileSystemsApart(t *testing.T) {
	opts := diff.UpperOptions{Upper: t.TempDir()}
	treetest.Make(t, opts.Upper, "a/\nb/")
	numbers := map[uint64]bool{}
	for _, name := range []string{"a", "b"} {
		dir := filepath.Join(opts.Upper, name)
		treetest.TmpfsAt(t, dir, 0)
		treetest.Make(t, dir, "one\ntwo => one")
		var st unix.Stat_t
		if err := unix.Stat(dir+"/one", &st); err != nil {
			t.Fatal(err)
		}
		numbers[st.Ino] = true
	}
	if len(numbers) > 1 {
		t.Skip("this kernel numbers files across file systems")
	}
	want := []string{"a/one", "a/two => a/one", "b/one", "b/two => b/one"}
	if d := cmp.Diff(want, linksTold(t, opts)); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
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
