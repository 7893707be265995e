package snapshot

import (
	"archive/tar"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/continuity/sysx"
	"github.com/google/go-cmp/cmp"
)

// Whatever a tar names, nothing outside of its own directory is touched.
func TestUnpackStaysInsideItsDirectory(t *testing.T) {
	for name, test := range map[string]struct {
		first, second []tar.Header
		want          string // names inside, or part of the error
	}{
		"parent directory":    {first: []tar.Header{fileHeader("../evil")}, want: `entry "../evil" leads outside`},
		"many parents":        {first: []tar.Header{fileHeader("a/../../../../../evil")}, want: "leads outside"},
		"absolute":            {first: []tar.Header{fileHeader("/evil")}, want: "evil"},
		"symlink up":          {first: []tar.Header{linkHeader(tar.TypeSymlink, "up", "../.."), fileHeader("up/evil")}, want: "evil up"},
		"absolute symlink":    {first: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE"), fileHeader("out/evil")}, want: "inside"},
		"symlink then file":   {first: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE/secret"), fileHeader("out")}, want: "out"},
		"hardlink up":         {first: []tar.Header{linkHeader(tar.TypeLink, "evil", "../../../../../../../OUTSIDE/secret")}, want: `hard link "evil" to "../`},
		"hardlink by symlink": {first: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE"), linkHeader(tar.TypeLink, "evil", "out/secret")}, want: "no such file"},
		"symlink from below":  {first: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE")}, second: []tar.Header{fileHeader("out/evil")}, want: "out out/evil"},
		"whiteout by symlink": {first: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE"), fileHeader("out/.wh.secret")}, want: "inside"},
		"opaque by symlink":   {first: []tar.Header{fileHeader("a")}, second: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE"), fileHeader("out/.wh..wh..opq")}, want: "inside"},
		"root by symlink":     {first: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE"), dirHeader("out/.", 0o700, 5)}, want: "inside"},
		"implied by symlink":  {first: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE"), fileHeader("out/private/evil")}, want: "inside"},
		"implied by symlink with metadata from below": {
			first:  []tar.Header{dirHeader("out/", 0o755, 0), dirHeader("out/private/", 0o777, 1000)},
			second: []tar.Header{linkHeader(tar.TypeSymlink, "out", "OUTSIDE"), fileHeader("out/private/evil")}, want: "inside",
		},
		"implied and then a symlink": {first: []tar.Header{fileHeader("out/private/a"), linkHeader(tar.TypeSymlink, "out", "OUTSIDE")}, want: "out"},
		"hidden by symlink": {
			first:  []tar.Header{fileHeader("a")},
			second: []tar.Header{fileHeader("out/.wh.private"), linkHeader(tar.TypeSymlink, "out", "OUTSIDE")}, want: "a out",
		},
		"whiteout of dots": {first: []tar.Header{fileHeader("a")}, second: []tar.Header{fileHeader(".wh...")}, want: "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			l, ctx := newLease(t, s)
			outside := t.TempDir()
			private := filepath.Join(outside, "private")
			err := errors.Join(os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600), os.Mkdir(private, 0o700))
			if err != nil {
				t.Fatal(err)
			}
			before := listing(t, outside)
			r := newRegistry()
			layers := []layer{{tar: archiveOf(t, at(outside, test.first)...)}}
			if test.second != nil {
				layers = append(layers, layer{tar: archiveOf(t, at(outside, test.second)...)})
			}
			snapshot, err := s.Unpack(ctx, r.putImage(t, layers...), r, UnpackOptions{})
			switch {
			case err != nil:
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("got error %v, want %q", err, test.want)
				}
			case test.want != "inside":
				if diff := cmp.Diff(test.want, namesIn(t, ctx, s, snapshot)); diff != "" {
					t.Error(diff)
				}
			}
			if diff := cmp.Diff(before, listing(t, outside)); diff != "" {
				t.Errorf("outside: %s", diff)
			}
			if list, err := sysx.LListxattr(private); len(list) > 0 || err != nil {
				t.Errorf("attributes outside: %q, %v", list, err)
			}
			if err := l.Release(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(s.Root(), "snapshots/snapshots/evil")); err == nil {
				t.Error("a file beside the layers")
			}
		})
	}
}

func at(outside string, headers []tar.Header) []tar.Header {
	for i := range headers {
		headers[i].Linkname = strings.ReplaceAll(headers[i].Linkname, "OUTSIDE", outside)
	}
	return headers
}

// A link within the layer leads to the directory that gets the metadata.
func TestUnpackGoesThroughLinksWithinALayer(t *testing.T) {
	etc := []tar.Header{dirHeader("etc/", 0o755, 0), dirHeader("etc/private/", 0o700, 7)}
	through := []tar.Header{linkHeader(tar.TypeSymlink, "a", "etc"), fileHeader("a/private/x")}
	for name, layers := range map[string][]layer{
		"one layer":  {{tar: archiveOf(t, append(etc, through...)...)}},
		"two layers": {{tar: archiveOf(t, etc...)}, {tar: archiveOf(t, through...)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			_, ctx := newLease(t, s)
			r := newRegistry()
			snapshot, err := s.Unpack(ctx, r.putImage(t, layers...), r, UnpackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want := "drwxr-xr-x 0:0 .\nLrwxrwxrwx 0:0 a -> etc\ndrwxr-xr-x 0:0 etc\ndrwx------ 7:0 etc/private\n" +
				"-rw-r--r-- 0:0 etc/private/x = a/private/x"
			if diff := cmp.Diff(want, view(t, ctx, s, snapshot)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// In a user namespace overlayfs has its attributes in another name space.
func TestUnpackInAUserNamespace(t *testing.T) {
	needRoot(t)
	mapped := []syscall.SysProcIDMap{{Size: 1 << 16}}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(TestUnpackHidesWhatMarkersSay|TestUnpackKeepsWhatALayerDoesNotMention)$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: mapped, GidMappings: mapped, GidMappingsEnableSetgroups: true,
	}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "--- SKIP") || !strings.Contains(string(out), "--- PASS: TestUnpackHides") {
		t.Errorf("%v\n%s", err, out)
	}
}
