package integration

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listed is an image as "lbuild images --format json" prints it.
type listed struct{ Name, Digest, Config string }

// images lists the store.
func (l *lab) images() []listed {
	l.Helper()
	var list []listed
	for line := range strings.Lines(l.mustLbuild("images", "--format", "json")) {
		var img listed
		if err := json.Unmarshal([]byte(line), &img); err != nil {
			l.Fatal(err)
		}
		list = append(list, img)
	}
	return list
}

// What is saved by one is loaded by another, compressed or not, with its names, and is the same image.
func TestSavedImagesAreLoadedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.need("skopeo")
	l.mustBuild(l.context(everything), "-q", "-t", "app:1", "-t", "example.com/team/app:two", "--compression", "zstd")
	l.mustBuild(l.context(app), "-q", "-t", "other:1")
	want := l.images()
	l.mustLbuild("save", "-o", "saved.tar", "app:1", "example.com/team/app:two", "other:1")
	l.mustLbuild("save", "-o", "one.tar", "other:1")
	l.gzip("saved.tar")

	for root, file := range map[string]string{"plain": "saved.tar", "gzipped": "saved.tar.gz"} {
		other := l.otherRoot(root)
		if got := other.mustLbuild("load", "-i", file); len(strings.Fields(got)) != 3 {
			t.Errorf("load of %s prints %q, want three names", file, got)
		}
		if diff := cmp.Diff(byName(want), byName(other.images())); diff != "" {
			t.Errorf("%s loaded (-saved +loaded):\n%s", file, diff)
		}
		for _, command := range [][]string{{"history", "--format", "json", "app:1"}, {"inspect", "--format", "json", "other:1"}} {
			if diff := cmp.Diff(l.withoutStore(command...), other.withoutStore(command...)); diff != "" {
				t.Errorf("%q (-saved +loaded):\n%s", command, diff)
			}
		}
		other.mustBuild(l.context("-- Buildfile --\nFROM app:1\nUSER root\nRUN cat /opt/program > /again\n"), "-q", "-o", "tree")
	}
	if got := l.must("skopeo", "inspect", "--format", "{{len .Layers}}", "docker-archive:one.tar"); got != "6\n" {
		t.Errorf("skopeo sees %s layers, want 6", got)
	}
	l.must("skopeo", "copy", "--insecure-policy", "docker-archive:saved.tar:example.com/team/app:two", "oci:copied:x")
	l.checkIdle()
}

// withoutStore runs a command and leaves out where this store keeps things.
func (l *lab) withoutStore(args ...string) string {
	l.Helper()
	var kept []string
	for line := range strings.Lines(l.mustLbuild(args...)) {
		if !strings.Contains(line, l.root) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func byName(list []listed) map[string]listed {
	m := map[string]listed{}
	for _, img := range list {
		m[img.Name] = img
	}
	return m
}

func (l *lab) gzip(file string) {
	l.Helper()
	data := l.readFile(file)
	f, err := os.Create(filepath.Join(l.dir, file+".gz"))
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	w := gzip.NewWriter(f)
	if _, err := io.WriteString(w, data); err != nil || w.Close() != nil {
		l.Fatal(err)
	}
}

func TestArchivesBySkopeoAreLoaded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.need("skopeo")
	l.mustBuild(l.everything(), "-q", "-t", "app:1", "-o", "type=oci,tar=false,dest=app-dir", "-o", "tree")
	config := l.layoutImage("app-dir").manifest.Config.Digest.String()
	for _, test := range []struct {
		archive, prints string // "" where there is no name, and the digest is printed
	}{
		{"docker-archive:docker.tar:example.com/copy:1", "example.com/copy:1"},
		{"oci-archive:named.tar:example.com/copy:2", "example.com/copy:2"},
		{"oci-archive:tagged.tar:2", ""},
		{"oci-archive:bare.tar", ""},
	} {
		file := strings.Split(test.archive, ":")[1]
		l.must("skopeo", "copy", "--insecure-policy", "oci:app-dir:1", test.archive)
		other := l.otherRoot(file + ".root")
		got := other.mustLbuild("load", "-i", file)
		images := other.images()
		if len(images) != 1 || test.prints == "" && got != images[0].Digest || test.prints != "" && got != test.prints {
			t.Errorf("load of %s prints %q, want %q, and the store has %v", test.archive, got, test.prints, images)
			continue
		}
		if strings.HasPrefix(test.archive, "oci") && images[0].Config != config {
			t.Errorf("%s has the config %s, want %s", test.archive, images[0].Config, config)
		}
		// As a base it is the same tree, and --build-context takes the file itself.
		from, out := got, file+".tree"
		if test.prints == "" {
			from = "file"
		}
		args := []string{"-q", "-o", out}
		if from == "file" {
			args = append(args, "--build-context", "file=docker-archive://"+file)
		}
		other.mustBuild(l.context("-- Buildfile --\nFROM "+from+"\n"), args...)
		if diff := cmp.Diff(l.describe("tree"), l.describe(out)); diff != "" {
			t.Errorf("%s (-built +loaded):\n%s", test.archive, diff)
		}
	}
	l.checkIdle()
}

func TestNamesComeAndGo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	digest := l.mustBuild(l.context(app), "-q", "-t", "app:1")
	l.mustLbuild("tag", "app:1", "app:2")
	l.mustLbuild("tag", digest, "example.com/team/app")
	newer := l.mustBuild(l.context("-- Buildfile --\nFROM scratch\nLABEL a=b\n"), "-q", "-t", "app:2")
	want := map[string]string{"docker.io/library/app:1": digest, "docker.io/library/app:2": newer, "example.com/team/app:latest": digest}
	if diff := cmp.Diff(want, l.digests()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	l.mustLbuild("rmi", "app:2")
	l.mustLbuild("rmi", digest) // all names of the image
	if diff := cmp.Diff(map[string]string{}, l.digests()); diff != "" {
		t.Errorf("names after rmi (-want +got):\n%s", diff)
	}
	for _, args := range [][]string{{"rmi", "app:1"}, {"tag", "app:1", "x"}, {"inspect", digest}, {"history", "app:1"}, {"save", "-o", "out.tar", "app:1"}} {
		r := l.lbuild(args...)
		if want := `error: no image "` + args[len(args)-1] + `" in the store` + "\n"; args[0] != "tag" && (r.code != 1 || r.stderr != want) {
			t.Errorf("%q: status %d, stderr %q, want %q", args, r.code, r.stderr, want)
		}
	}
	l.checkNothingLeft()
}

func (l *lab) digests() map[string]string {
	l.Helper()
	m := map[string]string{}
	for _, img := range l.images() {
		m[img.Name] = img.Digest
	}
	return m
}

func TestBrokenArchivesAreNotLoaded(t *testing.T) {
	l := newLab(t)
	l.mustBuild(l.context(app), "-q", "-o", "type=docker,dest=good.tar", "-t", "left:1")
	good := l.readFile("good.tar")
	for name, test := range map[string]struct{ data, want string }{
		"empty":        {"", "it is neither a docker archive with a manifest.json nor an OCI archive"},
		"text":         {strings.Repeat("no archive\n", 100), "archive/tar: invalid tar header"},
		"half":         {good[:len(good)/2], "it is cut off, or no archive: unexpected EOF"},
		"other bytes":  {damaged(t, good), "it is incomplete or damaged: blob sha256:"},
		"other format": {string(tarOf(fileEntry("file"))), "it is neither a docker archive with a manifest.json nor an OCI archive"},
	} {
		t.Run(name, func(t *testing.T) {
			l := *newLab(t)
			r := l.feed(strings.NewReader(test.data), programs.lbuild, "--root", l.root, "load")
			if r.code != 1 || !strings.HasPrefix(r.stderr, "error: load archive: ") || !strings.Contains(r.stderr, test.want) {
				t.Errorf("status %d, stderr %q, want %q", r.code, r.stderr, test.want)
			}
			l.checkNothingLeft()
		})
	}
}

// damaged is the archive with one bit of its largest file turned, which is a blob of some layer.
func damaged(t *testing.T, archive string) string {
	t.Helper()
	var at, size int64
	r := strings.NewReader(archive)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Size > size {
			at, size = int64(len(archive)-r.Len())+h.Size/2, h.Size
		}
	}
	if size == 0 {
		t.Fatal("the archive has no file with content")
	}
	b := []byte(archive)
	b[at] ^= 1
	return string(b)
}
