package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A layer's absolute names and links are meant from the root of the image, wherever they point to on the host.
func TestLayersAreUnpackedWithinTheImage(t *testing.T) {
	for name, test := range map[string]struct {
		entries func(outside string) []tar.Header
		inside  func(outside string) string // where the file lands
	}{
		"absolute name": {
			func(outside string) []tar.Header { return []tar.Header{fileEntry(outside + "/evil")} },
			func(outside string) string { return outside + "/evil" },
		},
		"absolute symlink": {
			func(outside string) []tar.Header {
				return []tar.Header{linkEntry(tar.TypeSymlink, "out", outside), fileEntry("out/evil")}
			},
			func(outside string) string { return outside + "/evil" },
		},
		"relative symlink": {
			func(string) []tar.Header {
				return []tar.Header{linkEntry(tar.TypeSymlink, "out", "../../../../../../.."), fileEntry("out/evil")}
			},
			func(string) string { return "/evil" },
		},
		"symlink in place of the file": {
			func(outside string) []tar.Header {
				return []tar.Header{linkEntry(tar.TypeSymlink, "evil", outside+"/secret"), fileEntry("evil")}
			},
			func(string) string { return "/evil" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			outside := filepath.Join(l.dir, "outside")
			l.write(outside, "-- secret --\nsecret\n")
			before := l.must("find", outside, "-printf", "%p %T@ %s\n")
			l.makeLayout(filepath.Join(l.dir, "hostile"), madeImage{layers: []madeLayer{{data: tarOf(test.entries(outside)...)}}})
			dir := l.context("-- Buildfile --\nFROM hostile\nCOPY Buildfile /out/\nCOPY Buildfile /evil\n")
			l.mustBuild(dir, "--build-context", "hostile=oci-layout://hostile", "-o", "tree")
			if _, err := os.Lstat(filepath.Join(l.dir, "tree", test.inside(outside))); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, l.must("find", outside, "-printf", "%p %T@ %s\n")); diff != "" {
				t.Errorf("outside of the image: %s", diff)
			}
			l.checkIdle()
		})
	}
}

// The kernel or an operator kills a container from outside.
func TestKilledContainerIsAFailedStep(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	seconds := strconv.Itoa(1_000_000 + os.Getpid())
	dir := l.context(fmt.Sprintf("-- Buildfile --\nFROM base\nRUN touch /left && exec sleep %s\n", seconds))
	done := make(chan result, 1)
	go func() { done <- l.build(dir, "-q", "-t", "left:1") }()
	if err := syscall.Kill(l.waitForProcess("sleep", seconds), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := <-done
	want := "Buildfile:2: RUN failed: exit status 137 (SIGKILL)\n   1 │ FROM base\n   2 │ RUN touch /left && exec sleep " + seconds + "\n"
	if r.code != 1 || !strings.HasPrefix(r.stderr, want) {
		t.Errorf("status %d, stderr %q, want %q", r.code, r.stderr, want)
	}
	l.checkNothingLeft()
}

// waitForProcess returns the id of the process with exactly these arguments.
func (l *lab) waitForProcess(args ...string) int {
	l.Helper()
	want := strings.Join(args, "\x00") + "\x00"
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			l.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil || string(data) != want {
				continue // most are others, and some end while they are looked at
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				return pid
			}
		}
	}
	l.Fatalf("%q does not run", args)
	return 0
}

func TestContextFromStdin(t *testing.T) {
	plain := contextTar(t, map[string]string{"sub/Other": "FROM base\nCOPY sub/file /file\n", "sub/file": "content\n"})
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(plain); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes()} {
		cut := data[:min(len(data)-50, 1100)] // in the second header
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			build := func(data []byte) result {
				return l.feed(bytes.NewReader(data), programs.lbuild, "--root", l.root, "build", "-q",
					"--build-context", "base=oci-layout://"+programs.base, "-f", "sub/Other", "-o", "tree", "-")
			}
			if r := build(cut); r.code != 1 || !strings.Contains(r.stderr, "error: unpack the context: ") {
				t.Errorf("cut off: status %d, %s", r.code, r.stderr)
			}
			l.checkNothingLeft()
			if r := build(data); r.code != 0 {
				t.Fatalf("status %d: %s", r.code, r.stderr)
			}
			if got, err := os.ReadFile(filepath.Join(l.dir, "tree/file")); string(got) != "content\n" {
				t.Errorf("file holds %q, %v", got, err)
			}
			l.checkIdle()
		})
	}
}

func contextTar(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The Buildfile of a context that somebody else packed may not be a file of the host.
func TestBuildfileOfATarContextLiesInIt(t *testing.T) {
	for name, entry := range map[string]tar.Header{
		"absolute link": linkEntry(tar.TypeSymlink, "Buildfile", "/etc/passwd"),
		"relative link": linkEntry(tar.TypeSymlink, "Buildfile", "../../../../../../../../../../etc/passwd"),
		"device":        {Typeflag: tar.TypeChar, Name: "Buildfile", Devmajor: 1, Devminor: 5},
		"pipe":          {Typeflag: tar.TypeFifo, Name: "Buildfile"},
		"directory":     {Typeflag: tar.TypeDir, Name: "Buildfile/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			r := l.feed(bytes.NewReader(tarOf(entry)), programs.lbuild, "--root", l.root, "build", "-q", "-")
			if r.code != 1 || !strings.HasPrefix(r.stderr, "error: read Buildfile in the context: ") || strings.Contains(r.stderr, l.dir) {
				t.Errorf("status %d: %s", r.code, r.stderr)
			}
			l.checkNothingLeft()
		})
	}
}
