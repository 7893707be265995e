package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

const (
	historyLength = 40 // operations
	frozenLength  = 15 // operations in an upper directory that becomes a lower one

	trustedMarks = "trusted.overlay."
	userMarks    = "user.overlay."
)

// TestAnyHistoryUnpacksToTheMergedTree runs random operations on an overlay and holds the layer against the laws of
// checkLayer. LBUILD_HISTORIES is the number of histories; a failure prints the seed and the shortest history found.
func TestAnyHistoryUnpacksToTheMergedTree(t *testing.T) {
	setChecks(t, historyCount)
	root := treetest.Tmpfs(t, 0)
	began, histories, done := time.Now(), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t, rt: rt, root: root}
		defer s.end()
		done += checkHistory(rt, s)
		histories++
	})
	t.Logf("%d histories of %d operations, of which %d%% changed something, in %s",
		histories, historyLength, done*100/max(1, histories*historyLength), time.Since(began).Round(time.Second))
}

// setChecks sets the number of histories for the rest of the test.
func setChecks(t *testing.T, count int) {
	t.Helper()
	was := flag.Lookup("rapid.checks").Value.String()
	want := fmt.Sprint(count)
	if n := os.Getenv("LBUILD_HISTORIES"); n != "" {
		want = n
	}
	if err := flag.Set("rapid.checks", want); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set("rapid.checks", was) }) //nolint:errcheck // it was its value before
}

// bases are lower directories to start from, topmost first.
var bases = [][]string{
	{baseTree},
	{
		"a/\na/c char=0:0\nb char=0:0\nc/ trusted.overlay.opaque=\"y\"\nc/a/\nc/a/a \"5\" user.k=\"v\"",
		baseTree,
	},
	{
		"a/\na/b/\na/b/d \"6\" mode=4755",
		"a/\na/b char=0:0\nd/\nd/d/ trusted.overlay.opaque=\"y\" mode=1777\nd/d/a \"7\"",
		baseTree,
	},
}

const baseTree = `
	a/ user.k="v"
	a/a "1"
	a/b/ mode=0700
	a/b/c "2" own=1:2
	a/b/a -> c
` + linkedLine + `
	b "3" user.k="v"
	c/
	c/c/
	c/c/c "4"
	c/c/b char=1:3
	d/
	d/a/
	d/a/a/
	d/a/a/d/
	d/a/a/d/d/
	d/a/a/d/d/d fifo
	d/b size=5000
`

const linkedLine = "a/c => a/a"

// mountKinds are options of mounts.
var mountKinds = [][]string{
	nil,
	{"redirect_dir=on"},
	{"metacopy=on", "redirect_dir=on"},
	{"index=on"},
	{"userxattr"},
}

// checkHistory returns how many operations changed something.
func checkHistory(rt *rapid.T, s *scope) int {
	mount := rapid.SampledFrom(mountKinds).Draw(rt, "mount")
	// With an index, what changes under one name of a lower file may be in the index alone.
	indexed := slices.Contains(mount, "index=on")
	user, marks := slices.Contains(mount, "userxattr"), trustedMarks
	if user {
		marks = userMarks
	}
	var lower []string
	for _, tree := range rapid.SampledFrom(bases).Draw(rt, "lower") {
		if indexed {
			tree = strings.ReplaceAll(tree, linkedLine, "")
		}
		lower = append(lower, treetest.Lower(s, strings.ReplaceAll(tree, trustedMarks, marks))...)
	}
	if !indexed {
		for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(rt, "frozen") {
			lower = freeze(rt, s, lower, mount)
		}
	}
	o := treetest.Mount(s, lower, treetest.Options{Mount: mount})
	was := o.Look(s)
	was["."] = treetest.LookUpper(s, lower[0], marks)["."] // the mount has a root of its own
	done := run(rt.Logf, o.Merged, steps(historyLength, slices.Concat(operations, onDirectories)).Draw(rt, "history"))
	is := o.Look(s)
	for _, whiteouts := range []diff.Whiteouts{diff.Opaque, diff.Explicit} {
		checkLayer(s, was, is, diff.UpperOptions{
			Upper: o.Upper, Lower: o.Lower, Whiteouts: whiteouts, UserXattr: user,
		})
	}
	return done
}

// freeze makes the upper directory of a mount the topmost lower one, which no mount may write to any more.
func freeze(rt *rapid.T, s *scope, lower, mount []string) []string {
	o := treetest.Mount(s, lower, treetest.Options{Mount: mount})
	run(rt.Logf, o.Merged, steps(frozenLength, slices.Concat(operations, onDirectories)).Draw(rt, "before"))
	s.unmount(o)
	rt.Logf("frozen")
	return append([]string{o.Upper}, lower...)
}

// checkLayer holds a layer against the laws: the same bytes twice, in order, nothing in it that is not a change, and
// unpacked over the tree as it was it gives the tree as it is.
func checkLayer(s *scope, was, is treetest.View, opts diff.UpperOptions) {
	ctx := context.Background()
	layer, err := packChanges(ctx, diff.Upper(ctx, opts))
	if errors.Is(err, diff.ErrLinked) {
		return // what cannot be told is an error
	}
	if err != nil {
		s.Fatal(err)
	}
	again, err := packChanges(ctx, diff.Upper(ctx, opts))
	if err != nil || !bytes.Equal(layer, again) {
		s.Fatalf("the second layer has other bytes than the first: %v", err)
	}
	for _, wrong := range misplaced(headersOf(s, layer), was, is, opts.Upper) {
		s.rt.Errorf("%s", wrong)
	}
	unpacked := unpack(s, layer, was["."])
	got, want := unpacked.Over(was), is
	// Without an index, a name that was opened for writing leaves the others of a lower file, and nothing says so.
	left := func(path string, _ treetest.Seen) bool {
		_, inLayer := unpacked[path]
		return !inLayer && exists(filepath.Join(opts.Upper, path))
	}
	got.Separate(left)
	want.Separate(left)
	if d := cmp.Diff(lines(want.String()), lines(got.String())); d != "" {
		s.Fatalf("tree (-merged +unpacked):\n%s\nlayer:\n%s", d, treetest.Tar(s, bytes.NewReader(layer)))
	}
}

func exists(path string) bool { return unix.Access(path, 0) == nil }

// unpack unpacks a layer by containerd's package, as upper directory. The root stays as it was unless the layer has it,
// which containerd leaves out.
func unpack(s *scope, layer []byte, root treetest.Seen) treetest.View {
	dir := s.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		s.Fatal(err)
	}
	whiteouts := archive.WithConvertWhiteout(archive.OverlayConvertWhiteout)
	if _, err := archive.Apply(context.Background(), dir, bytes.NewReader(layer), whiteouts); err != nil {
		s.Fatalf("unpack: %v", err)
	}
	first := headersOf(s, layer)
	if len(first) == 0 || first[0].Name != "./" {
		view := treetest.LookUpper(s, dir, trustedMarks)
		view["."] = root
		return view
	}
	for key, value := range first[0].PAXRecords {
		if err := unix.Setxattr(dir, strings.TrimPrefix(key, "SCHILY.xattr."), []byte(value), 0); err != nil {
			s.Fatal(err)
		}
	}
	if err := unix.Chmod(dir, uint32(first[0].Mode)); err != nil {
		s.Fatal(err)
	}
	return treetest.LookUpper(s, dir, trustedMarks)
}

// misplaced returns what is wrong with the entries of a layer: their order, a name twice, or an entry for what did not
// change.
func misplaced(entries []*tar.Header, was, is treetest.View, upper string) (wrong []string) {
	needed := map[string]bool{} // by others
	for i, hdr := range slices.Backward(entries) {
		if i > 0 && !inOrder(entries[i-1].Name, hdr.Name) {
			wrong = append(wrong, fmt.Sprintf("%q comes before %q", entries[i-1].Name, hdr.Name))
		}
		name := path.Clean(hdr.Name)
		dir, base := path.Dir(name), path.Base(name)
		deleted, isWhiteout := strings.CutPrefix(base, ".wh.")
		deleted = path.Join(dir, deleted)
		switch {
		case base == ".wh..wh..opq":
			if !was[dir].IsDir {
				wrong = append(wrong, fmt.Sprintf("%q hides nothing", hdr.Name))
			}
		case isWhiteout:
			if !was.Has(deleted) || is.Has(deleted) {
				wrong = append(wrong, fmt.Sprintf("%q deletes nothing, or what is there", hdr.Name))
			}
		case hdr.Typeflag == tar.TypeLink:
			needed[hdr.Linkname] = true
		case is[name].Line == was[name].Line && !needed[name] && !remade(upper, name):
			wrong = append(wrong, fmt.Sprintf("%q did not change", hdr.Name))
		}
		if dir != "." {
			needed[dir] = true
		}
	}
	return wrong
}

// remade reports whether an entry of an upper directory is, or is in, a directory that is not the one that was there.
func remade(upper, name string) bool {
	for ; name != "."; name = path.Dir(name) {
		for _, mark := range []string{"opaque", "redirect"} {
			for _, space := range []string{"trusted.overlay.", "user.overlay."} {
				n, err := unix.Lgetxattr(filepath.Join(upper, name), space+mark, nil)
				if err == nil && n > 0 {
					return true
				}
			}
		}
	}
	return false
}

// inOrder reports whether one name comes before another: directories before their content, and markers first.
func inOrder(a, b string) bool {
	return slices.Compare(sortKey(a), sortKey(b)) < 0
}

func sortKey(name string) []string {
	if name == "./" {
		return nil
	}
	parts := strings.Split(strings.TrimSuffix(name, "/"), "/")
	last := &parts[len(parts)-1]
	for i := range parts {
		parts[i] = "2" + parts[i]
	}
	switch {
	case strings.HasPrefix(*last, "2.wh..wh.."):
		*last = "0" + *last
	case strings.HasPrefix(*last, "2.wh."):
		*last = "1" + *last
	}
	return parts
}

// headersOf returns those of a tar.
func headersOf(tb testing.TB, b []byte) []*tar.Header {
	tb.Helper()
	var all []*tar.Header
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		hdr, err := tr.Next()
		if err != nil {
			return all
		}
		all = append(all, hdr)
	}
}
