package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func TestOCIDirReplacesByName(t *testing.T) {
	store, dir := newLayout(t)
	one, two := putImage(t, store, "amd64", "gzip"), putImage(t, store, "arm64", "gzip")
	addTo(t, store, dir, one, "x:a", "x:b")
	addTo(t, store, dir, one)
	addTo(t, store, dir, two, "x:a")
	addTo(t, store, dir, one)
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	index, err := readIndex(root)
	must(t, err)
	var got []string
	for _, m := range index.Manifests {
		got = append(got, m.Annotations[images.AnnotationImageName]+" "+m.Platform.Architecture)
	}
	if diff := cmp.Diff([]string{"x:b amd64", "x:a arm64", " amd64"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOCIDirMendsADamagedBlob(t *testing.T) {
	store, dir := newLayout(t)
	manifest := putImage(t, store, "amd64", "gzip")
	addTo(t, store, dir, manifest)
	damage(t, dir, firstLayer(t, store, manifest))
	addTo(t, store, dir, manifest)
	fresh, _ := newStore(t)
	if _, err := LoadLayout(t.Context(), fresh, dir, ""); err != nil {
		t.Error(err)
	}
}

func TestWritersOfALayoutLoseNothing(t *testing.T) {
	store, dir := newLayout(t)
	manifest := putImage(t, store, "amd64", "gzip")
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			return OCIDir(t.Context(), store, dir, Image{Manifest: manifest, Names: []string{fmt.Sprintf("x:%d", i)}})
		})
	}
	must(t, group.Wait())
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	if index, err := readIndex(root); err != nil || len(index.Manifests) != 8 {
		t.Errorf("got %d entries, %v", len(index.Manifests), err)
	}
}

func TestAWriterThatWaitsCanBeCanceled(t *testing.T) {
	store, dir := newLayout(t)
	manifest := putImage(t, store, "amd64")
	must(t, os.Mkdir(dir, 0o755))
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	unlock, err := lock(t.Context(), root)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPause)
	defer cancel()
	if err := OCIDir(ctx, store, dir, Image{Manifest: manifest}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	must(t, unlock())
	must(t, OCIDir(t.Context(), store, dir, Image{Manifest: manifest}))
}

func TestOCIDirRefusesABrokenLayout(t *testing.T) {
	store, dir := newLayout(t)
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte("{"), 0o644))
	err := OCIDir(t.Context(), store, dir, Image{Manifest: putImage(t, store, "amd64")})
	if err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Errorf("got %v", err)
	}
}

func TestFileIsWholeOrUntouched(t *testing.T) {
	boom := errors.New("boom")
	for _, test := range []struct {
		name string
		fn   func(io.Writer) error
		want string
	}{
		{"written", func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }, "new"},
		{"failed", func(w io.Writer) error { _, err := io.WriteString(w, "ne"); return errors.Join(err, boom) }, "old"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "real"), []byte("old"), 0o600))
			must(t, os.Chmod(filepath.Join(dir, "real"), 0o662)) // whatever the umask
			must(t, os.Symlink("real", filepath.Join(dir, "link")))
			err := File(filepath.Join(dir, "link"), test.fn)
			if errors.Is(err, boom) != (test.name == "failed") {
				t.Errorf("got %v", err)
			}
			want := []string{"link -> real", "real 0662 " + test.want}
			if diff := cmp.Diff(want, list(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// list describes a tree, one line for each file.
func list(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		must(t, err)
		info, err := d.Info()
		must(t, err)
		line := rel
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			must(t, err)
			line += " -> " + target
		case d.IsDir():
			line += fmt.Sprintf("/ %04o", info.Mode().Perm())
		case d.Type().IsRegular():
			data, err := os.ReadFile(name)
			must(t, err)
			line += fmt.Sprintf(" %04o %s", info.Mode().Perm(), data)
		default:
			line += " " + info.Mode().String()
		}
		lines = append(lines, line)
		return nil
	}))
	sort.Strings(lines)
	return lines
}

func TestFileFollowsALinkToNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	must(t, os.Symlink("d/next", filepath.Join(dir, "link")))
	must(t, os.Symlink(filepath.Join(dir, "d", "real"), filepath.Join(dir, "d", "next")))
	must(t, File(filepath.Join(dir, "link"), func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }))
	data, err := os.ReadFile(filepath.Join(dir, "d", "real"))
	if string(data) != "new" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
	if target, err := os.Readlink(filepath.Join(dir, "link")); target != "d/next" || err != nil {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

func TestFileWritesToADevice(t *testing.T) {
	must(t, File("/dev/null", func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }))
	info, err := os.Stat("/dev/null")
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		t.Fatalf("/dev/null is gone: %v, %v", info, err)
	}
}

func TestFileSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{dir: "it is a directory", filepath.Join(dir, "no", "file"): "no such file"} {
		err := File(name, func(io.Writer) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestFullDiskLeavesTheOldFile(t *testing.T) {
	dir := smallDisk(t)
	name := filepath.Join(dir, "image.tar")
	must(t, os.WriteFile(name, []byte("old"), 0o644))
	store, _ := newStore(t)
	big := put(t, store, "application/vnd.oci.image.layer.v1.tar", make([]byte, 2<<20))
	manifest := putIndex(t, store, putImageWith(t, store, big))
	err := File(name, func(w io.Writer) error { return OCI(t.Context(), store, w, Image{Manifest: manifest}) })
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v, want no space", err)
	}
	if diff := cmp.Diff([]string{"image.tar 0644 old"}, list(t, dir)); diff != "" {
		t.Error(diff)
	}
	if err := OCIDir(t.Context(), store, filepath.Join(dir, "layout"), Image{Manifest: manifest}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("layout: got %v, want no space", err)
	}
}

// smallDisk mounts a file system of 1 MiB.
func smallDisk(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("LBUILD_TEST_STRICT") == "1" {
			t.Fatalf("mount a tmpfs: %v", err)
		}
		t.Skipf("a tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}
