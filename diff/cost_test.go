package diff_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
)

// TestUpperListsNoLowerDirectory sees it in the access times of a file system that keeps them: listing a directory moves
// its own, looking a name up does not.
func TestUpperListsNoLowerDirectory(t *testing.T) {
	dir := treetest.Tmpfs(t, unix.MS_STRICTATIME)
	lower := filepath.Join(dir, "lower")
	dirs := []string{".", "wide", "wide/sub", "again", "again/sub", "gone", "moved"}
	for _, d := range dirs {
		if err := os.Mkdir(filepath.Join(lower, d), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if err := os.WriteFile(fmt.Sprintf("%s/%s/f%d", lower, d, i), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := treetest.Mount(t, []string{lower}, treetest.Options{Dir: t.TempDir()})
	o.Sh(t, `
		printf y >wide/f1; rm wide/f2; mv wide/f3 wide/sub/n; mv wide/f4 t; mv t wide/f4; chmod 0700 wide/f5; ln wide/f6 l
		setfattr -n user.k -v v wide/sub
		rm -r again; mkdir again; printf z >again/f1; rm -r gone; mv moved elsewhere
	`)
	was := accessTimes(t, lower, dirs)
	opts := diff.UpperOptions{Upper: o.Upper, Lower: o.Lower}
	got, err := told(opts)
	if err != nil || len(got) < 1000 {
		t.Fatalf("%d changes: %v", len(got), err)
	}
	if d := cmp.Diff(was, accessTimes(t, lower, dirs)); d != "" {
		t.Errorf("access times of lower directories (-before +after):\n%s", d)
	}
	opts.Whiteouts = diff.Explicit
	if _, err := told(opts); err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(was, accessTimes(t, lower, dirs)) {
		t.Error("no access time moved when a directory was listed: this proves nothing")
	}
}

func accessTimes(t *testing.T, root string, dirs []string) map[string]unix.Timespec {
	t.Helper()
	times := map[string]unix.Timespec{}
	for _, d := range dirs {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(root, d), &st); err != nil {
			t.Fatal(err)
		}
		times[d] = st.Atim
	}
	return times
}

// TestReadNeverReadsHoles counts the bytes that the kernel handed over.
func TestReadNeverReadsHoles(t *testing.T) {
	const size, data = 2 << 30, 1 << 20
	dir := t.TempDir()
	treetest.Make(t, dir, fmt.Sprintf("f size=%d", size))
	f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(100 << 20); at < size; at += size / 4 {
		if _, err := f.WriteAt([]byte(strings.Repeat("x", data/4)), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for c, err := range diff.Upper(context.Background(), diff.UpperOptions{Upper: dir}) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Path != "f" {
			continue
		}
		before := bytesRead(t)
		r, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); n != size || err != nil {
			t.Errorf("%d bytes came, of %d: %v", n, size, err)
		}
		if read := bytesRead(t) - before; read < data || read > data+64<<10 {
			t.Errorf("%d bytes were read, for %d of data", read, data)
		}
	}
}

// bytesRead is how many bytes this process has read so far, of whatever.
func bytesRead(t *testing.T) (n int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		treetest.Skip(t, "the kernel counts no bytes of processes")
	}
	if _, err := fmt.Sscanf(string(b), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}
