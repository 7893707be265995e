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
	"runtime"
	"slices"
	"testing"
	"unsafe"

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
