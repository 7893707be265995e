package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// overlay mounts lower directories, as in the mount option, with container/ as the upper one at merge/.
func (l *lab) overlay(lower string, options ...string) {
	l.Helper()
	for _, dir := range []string{"container", "work", "merge"} {
		if err := os.Mkdir(filepath.Join(l.dir, dir), 0o755); err != nil {
			l.Fatal(err)
		}
	}
	all := strings.Join(append([]string{"lowerdir=" + lower, "upperdir=container", "workdir=work"}, options...), ",")
	l.must("mount", "-t", "overlay", "overlay", "-o", all, "merge")
	l.Cleanup(func() { l.must("umount", "merge") })
}

// sh runs a script in a directory of the lab.
func (l *lab) sh(dir, script string) string {
	l.Helper()
	return l.must("sh", "-euc", "umask 022; cd "+dir+"; "+script)
}

const twoImages = `-- image1/a --
a of image1
-- image1/b --
b of image1
-- image1/dir/old --
old
-- image2/a --
a of image2
-- image2/etc/conf --
v=1
`

// TestWalkthroughOverlayMountByHand follows the texts that mount an overlay by hand and look at what is in the upper
// directory.
func TestWalkthroughOverlayMountByHand(t *testing.T) {
	l := newLab(t)
	l.write(l.dir, twoImages)
	l.overlay("image2:image1")
	if got := l.sh("merge", "cat a"); got != "a of image2\n" {
		t.Errorf("a is %q", got)
	}
	l.sh("merge", `rm a; rm -r dir; mkdir dir; echo new > dir/new; echo v=2 > etc/conf; touch -r etc etc/conf; chown 0:0 b`)
	if got := l.sh("container", "stat -c '%F %t:%T' a"); got != "character special file 0:0\n" {
		t.Errorf("the whiteout is a %q", got)
	}

	want := "D /a\nC /dir\nA /dir/new\nD /dir/old\nC /etc\nC /etc/conf\n"
	if d := cmp.Diff(want, l.must(programs.lbuild, "diff", "--upper", "container", "--lower", "image2:image1")); d != "" {
		t.Errorf("diff (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want, l.must(programs.lbuild, "diff", "--upper", "container", "--lower", "image2", "--lower", "image1")); d != "" {
		t.Errorf("diff with two --lower (-want +got):\n%s", d)
	}
	r := l.exec(programs.lbuild, "layer", "--upper", "container", "--lower", "image2:image1", "--verify", "-o", "layer.tar.gz")
	if r.code != 0 {
		t.Fatalf("layer: status %d\n%s", r.code, r.stderr)
	}
	l.checkLayer(r)
}

// checkLayer compares what layer said with the file that it wrote.
func (l *lab) checkLayer(r result) {
	l.Helper()
	blob, err := os.ReadFile(filepath.Join(l.dir, "layer.tar.gz"))
	if err != nil {
		l.Fatal(err)
	}
	if want := digest.FromBytes(blob).String() + "\n"; r.stdout != want {
		l.Errorf("stdout is %q, want the digest %q", r.stdout, want)
	}
	zr, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		l.Fatal(err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil {
		l.Fatal(err)
	}
	for _, text := range []string{
		digest.FromBytes(plain).String(), "entries      6\n", "1 file (12B) was copied up unchanged and left out\n",
	} {
		if !strings.Contains(r.stderr, text) {
			l.Errorf("stderr lacks %q:\n%s", text, r.stderr)
		}
	}
	want := []string{".wh.a", "dir/", "dir/.wh..wh..opq", "dir/new", "etc/", "etc/conf"}
	if d := cmp.Diff(want, l.entries(plain)); d != "" {
		l.Errorf("entries (-want +got):\n%s", d)
	}
}

func (l *lab) entries(plain []byte) (names []string) {
	l.Helper()
	for tr := tar.NewReader(bytes.NewReader(plain)); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			l.Fatal(err)
		}
		names = append(names, hdr.Name)
	}
}

// TestDiffPrintsWhatDockerPrints has the example of the texts: "docker container diff" after rm /bin/tar.
func TestDiffPrintsWhatDockerPrints(t *testing.T) {
	l := newLab(t)
	l.write(l.dir, "-- image/bin/tar --\ntar\n-- image/bin/sh --\nsh\n")
	l.overlay("image")
	l.sh("merge", "rm bin/tar")
	if got := l.must(programs.lbuild, "diff", "--upper", "container", "--lower", "image"); got != "C /bin\nD /bin/tar\n" {
		t.Errorf("diff prints %q", got)
	}
	// The mounted tree compared with the one below says the same.
	if got := l.must(programs.lbuild, "diff", "image", "merge"); got != "C /bin\nD /bin/tar\n" {
		t.Errorf("diff of two directories prints %q", got)
	}
}

func TestDiffQuotesNamesThatSpoilALine(t *testing.T) {
	l := newLab(t)
	l.write(l.dir, "-- image/a --\na\n")
	l.overlay("image")
	l.sh("merge", `touch "$(printf 'b\nD a')" "$(printf 'c\033[2J')" "$(printf 'd\377')" 'e f' ü`)
	want := `A "/b\nD a"` + "\n" + `A "/c\x1b[2J"` + "\n" + `A "/d\xff"` + "\nA /e f\nA /ü\n"
	if d := cmp.Diff(want, l.must(programs.lbuild, "diff", "--upper", "container", "--lower", "image")); d != "" {
		t.Errorf("diff (-want +got):\n%s", d)
	}
}

// TestDiffAndLayerSayThatTheyMayNotReadTheMarks takes the capability away, without which the kernel hides trusted
// attributes as if there were none.
func TestDiffAndLayerSayThatTheyMayNotReadTheMarks(t *testing.T) {
	l := newLab(t)
	l.need("setpriv", "unshare")
	l.write(l.dir, twoImages)
	l.overlay("image2:image1")
	l.sh("merge", "rm -r dir; mkdir dir")
	for _, without := range [][]string{
		{"setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"},
		{"unshare", "--user", "--map-root-user"},
	} {
		for _, args := range [][]string{{"diff"}, {"layer", "-o", "layer.tar"}} {
			args = append(append(without[1:], programs.lbuild), append(args, "--upper", "container", "--lower", "image2:image1")...)
			r := l.exec(without[0], args...)
			if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "only root can read overlay's marks") {
				t.Errorf("%s: status %d, stdout %q, stderr %q", args, r.code, r.stdout, r.stderr)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "layer.tar")); err == nil {
		t.Error("the layer was written")
	}
}

// TestLayerOfAMountInAUserNamespace needs no privilege at all: the marks are in user attributes.
func TestLayerOfAMountInAUserNamespace(t *testing.T) {
	l := newLab(t)
	l.need("unshare")
	l.write(l.dir, twoImages)
	script := `mkdir container work merge
		mount -t overlay overlay -o userxattr,lowerdir=image2:image1,upperdir=container,workdir=work merge
		rm merge/a; rm -r merge/dir; mkdir merge/dir; echo new > merge/dir/new
		umount merge
		"$1" diff --userxattr --upper container --lower image2:image1
		"$1" layer --userxattr --upper container --lower image2:image1 --verify --format json -o layer.tar.gz`
	out := l.must("unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", script, "sh", programs.lbuild)
	changes, report, _ := strings.Cut(out, "{")
	if want := "D /a\nC /dir\nA /dir/new\nD /dir/old\n"; changes != want {
		t.Errorf("diff prints %q, want %q", changes, want)
	}
	var layer struct {
		Digest  digest.Digest `json:"digest"`
		Entries int           `json:"entries"`
	}
	if err := json.Unmarshal([]byte("{"+report), &layer); err != nil {
		t.Fatal(err)
	}
	if layer.Entries != 4 || layer.Digest.Validate() != nil {
		t.Errorf("layer is %+v, want 4 entries", layer)
	}
}
