package layer_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/lbuild/lbuild/diff"
	"github.com/lbuild/lbuild/diff/compress"
	"github.com/lbuild/lbuild/diff/internal/treetest"
	"github.com/lbuild/lbuild/diff/layer"
	"golang.org/x/sys/unix"
)

// TestWriteTellsADiskThatFailsInTheMiddleOfAFile reads a file of which the disk has lost the second half.
func TestWriteTellsADiskThatFailsInTheMiddleOfAFile(t *testing.T) {
	disk := badDisk(t)
	for name, opts := range map[string]diff.UpperOptions{
		"packed":         {Upper: disk},
		"compared":       {Upper: t.TempDir(), Lower: []string{disk}},
		"compared again": {Upper: disk, Lower: []string{t.TempDir()}},
	} {
		for _, dir := range append(slices.Clone(opts.Lower), opts.Upper) {
			if dir != disk {
				treetest.Make(t, dir, fmt.Sprintf("d/\nd/f %q", text(halfLost)))
			}
		}
		for _, codec := range codecs {
			err := fault{changes: diff.Upper(context.Background(), opts)}.happen(t, codec)
			if t.Logf("%s: %v", name, err); err != nil {
				wantPathError(t, err, "d/f", unix.EIO)
			} else {
				t.Errorf("%s, %s: no error", name, codec)
			}
		}
	}
}

const halfLost = 4 << 20 // bytes of d/f on a badDisk

// badDisk returns the root of an ext4 file system with one file, d/f. The device has no sectors where its second half
// was.
func badDisk(t *testing.T) string {
	t.Helper()
	treetest.NeedRoot(t)
	treetest.NeedPrograms(t, "mkfs.ext4", "mount", "umount")
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	treetest.Make(t, filepath.Dir(image), "image size=33554432")
	if out, err := exec.Command("mkfs.ext4", "-q", "-b", "4096", "-O", "^has_journal", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs: %v\n%s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		treetest.Skip(t, "loop devices cannot be mounted: "+string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	if err := os.Remove(filepath.Join(dir, "lost+found")); err != nil {
		t.Fatal(err)
	}
	treetest.Make(t, dir, fmt.Sprintf("d/\nd/f %q", text(halfLost)))
	loseHalf(t, image, filepath.Join(dir, "d/f"))
	return dir
}

// loseHalf cuts the image of a disk where the second half of a file starts, and lets the kernel forget what it read.
func loseHalf(t *testing.T, image, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unix.Sync()
	const fibmap = 1 // the ioctl that maps a block of a file to one of the disk
	block := uint32(halfLost / 2 / 4096)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fibmap, uintptr(unsafe.Pointer(&block))); errno != 0 {
		t.Fatal(errno)
	}
	if err := os.Truncate(image, int64(block)*4096); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// packEnv makes the test program pack one layer, of the tree that it names, and print the outcome.
const packEnv = "LBUILD_TEST_PACK"

// outcome is what a layer came to in another process.
type outcome struct {
	Err, Path string // Path is that of a *diff.PathError
	Entries   int
}

// packOnly does what packEnv asks for: DIR/upper over DIR/lower. All calls to the kernel come from one thread, so that
// they can be counted.
func packOnly(dir string) error {
	runtime.LockOSThread()
	ctx := context.Background()
	changes := diff.Upper(ctx, diff.UpperOptions{Upper: dir + "/upper", Lower: []string{dir + "/lower"}, Whiteouts: diff.Explicit})
	blob := bufio.NewWriter(os.Stderr)
	r, err := layer.Write(ctx, blob, changes, layer.Options{Compression: compress.Compression{Name: compress.None}})
	o := outcome{Entries: r.Entries}
	if err != nil {
		o.Err = err.Error()
	}
	if pathErr := (*diff.PathError)(nil); errors.As(err, &pathErr) {
		o.Path = pathErr.Path
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

// TestWriteTellsEachCallThatFails lets each system call that reads the trees fail once, and expects the error of its path.
func TestWriteTellsEachCallThatFails(t *testing.T) {
	treetest.NeedRoot(t)
	treetest.NeedPrograms(t, "strace")
	dir := t.TempDir()
	treetest.Make(t, dir, fmt.Sprintf(`
		lower/
		lower/d/
		lower/d/gone
		lower/l -> x
		lower/re/
		lower/re/old
		lower/same %q
		upper/
		upper/d/ user.k="v"
		upper/d/f "1"
		upper/d/gone char=0:0
		upper/l -> x
		upper/re/ trusted.overlay.opaque="y"
		upper/re/n
		upper/same %q
		upper/sparse size=2000000
	`, text(100_000), text(100_000)))
	whole := packElsewhere(t, dir, "")
	if whole.Err != "" || whole.Entries != 7 {
		t.Fatalf("without a fault: %+v", whole)
	}
	known := regexp.MustCompile(`^(\.|d|d/f|d/gone|l|re|re/n|re/old|same|sparse)$`)
	for call, least := range map[string]int{
		"openat2": 15, "newfstatat": 18, "fstat": 8, "getdents64": 8, "llistxattr": 16, "lgetxattr": 2, "readlinkat": 2,
		"pread64": 5, "lseek": 5,
	} {
		failed := 0
		for n := range countCalls(t, dir, call) {
			got := packElsewhere(t, dir, fmt.Sprintf("%s:error=EIO:when=%d", call, n+1))
			if got == (outcome{}) || got == whole {
				continue // it was a call of the loader or of Go
			}
			failed++
			if got.Entries != 0 || !known.MatchString(got.Path) || !strings.Contains(got.Err, "input/output error") {
				t.Errorf("%s fails the %dth time: %+v", call, n+1, got)
			}
		}
		if t.Logf("%d calls of %s", failed, call); failed < least {
			t.Errorf("%s failed %d times, want %d at least", call, failed, least)
		}
	}
}

// countCalls returns how many calls of one kind a layer takes, with those that the program takes to start.
func countCalls(t *testing.T, dir, call string) int {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-qqq", "-o", trace, "-e", "signal=none", "-e", "trace="+call, os.Args[0])
	cmd.Env = append(os.Environ(), packEnv+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(calls), call+"(")
}

// notLoaded is the status of a program that lacks a library.
const notLoaded = 127

// packElsewhere packs a layer in another process with a fault, as strace describes it. The outcome is the zero one if the
// fault kept the program from starting.
func packElsewhere(t *testing.T, dir, fault string) (o outcome) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	if fault != "" {
		call, _, _ := strings.Cut(fault, ":")
		cmd = exec.Command("strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+fault, os.Args[0])
	}
	cmd.Env = append(os.Environ(), packEnv+"="+dir)
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() == notLoaded {
		return outcome{}
	}
	if err == nil {
		err = json.Unmarshal(out, &o)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", fault, err, out)
	}
	return o
}

// TestCallsDoNotGrowWithTheLowerDirectories counts system calls, which do not depend on the machine as times do.
func TestCallsDoNotGrowWithTheLowerDirectories(t *testing.T) {
	treetest.NeedPrograms(t, "strace")
	counts := map[int]map[string]int{}
	for _, size := range []int{10, 5000} {
		dir := t.TempDir()
		treetest.Make(t, dir, "lower/\nlower/d/\nupper/\nupper/d/")
		for i := range size {
			treetest.Make(t, filepath.Join(dir, "lower/d"), fmt.Sprintf("f%d %q", i, "x"))
		}
		treetest.Make(t, dir, "upper/d/f1 \"y\"\nupper/d/f2 \"x\"\nupper/d/f3 char=0:0\nupper/d/new")
		counts[size] = map[string]int{}
		for _, call := range []string{"openat2", "newfstatat", "getdents64", "llistxattr", "pread64"} {
			counts[size][call] = countCalls(t, dir, call)
		}
	}
	if d := cmp.Diff(counts[10], counts[5000]); d != "" {
		t.Errorf("calls over 10 lower files and over 5000 (-10 +5000):\n%s", d)
	}
}
