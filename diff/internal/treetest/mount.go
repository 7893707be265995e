package treetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Overlay is a mounted overlay, with all its directories below a temporary one.
type Overlay struct {
	// Lower are the lower directories, topmost first.
	Lower []string
	// Upper is the upper directory, Merged the mount point.
	Upper, Merged string
}

// Options are what an overlay is mounted with. The zero value is what lbuild's own mounts have: no option that lets
// the kernel keep content elsewhere than in the upper directory.
type Options struct {
	// Dir holds the directories. Default: a new temporary directory.
	Dir string
	// Mount are more mount options, which take the place of the defaults of the same name.
	Mount []string
}

// Mount mounts an overlay on lower directories, topmost first, until the test ends.
func Mount(tb testing.TB, lower []string, opts Options) *Overlay {
	tb.Helper()
	NeedRoot(tb)
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	o := &Overlay{Lower: lower, Upper: filepath.Join(opts.Dir, "upper"), Merged: filepath.Join(opts.Dir, "merged")}
	work := filepath.Join(opts.Dir, "work")
	for _, dir := range []string{o.Upper, o.Merged, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	Make(tb, o.Upper, "")
	data := options(append([]string{"upperdir=" + o.Upper, "workdir=" + work}, opts.Mount...))
	if err := mount(o.Merged, lower, data); err != nil {
		tb.Fatalf("mount overlay with %s: %v", data, err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(o.Merged, 0); err != nil {
			tb.Errorf("unmount %s: %v", o.Merged, err)
		}
	})
	return o
}

// options adds the defaults.
func options(given []string) []string {
	all := strings.Join(given, ",")
	for _, def := range []string{"index=off", "metacopy=off", "redirect_dir=off"} {
		key, _, _ := strings.Cut(def, "=")
		if !strings.Contains(all, key+"=") && !strings.Contains(all, "userxattr") {
			given = append(given, def)
		}
	}
	return given
}

// mount uses the mount API of file descriptors, because many lower directories don't fit in a page of options.
func mount(target string, lower, opts []string) error {
	fsfd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fsfd)
	for _, dir := range lower {
		if err := unix.FsconfigSetString(fsfd, "lowerdir+", dir); err != nil {
			return fmt.Errorf("lower %s: %w", dir, err)
		}
	}
	for _, opt := range opts {
		key, value, hasValue := strings.Cut(opt, "=")
		if hasValue {
			err = unix.FsconfigSetString(fsfd, key, value)
		} else {
			err = unix.FsconfigSetFlag(fsfd, key)
		}
		if err != nil {
			return fmt.Errorf("option %s: %w", opt, err)
		}
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return err
	}
	mfd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mfd)
	return unix.MoveMount(mfd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// Sh runs a shell script in the merged directory.
func (o *Overlay) Sh(tb testing.TB, script string) {
	tb.Helper()
	Sh(tb, o.Merged, script)
}

// Sh runs a shell script in a directory, with bytes instead of a locale and no umask surprises.
func Sh(tb testing.TB, dir, script string) {
	tb.Helper()
	cmd := exec.Command("sh", "-euc", "umask 022\n"+script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("script: %v\n%s", err, out)
	}
}

// Lower makes one lower directory of each tree.
func Lower(tb testing.TB, trees ...string) []string {
	tb.Helper()
	var dirs []string
	for _, tree := range trees {
		dir := tb.TempDir()
		Make(tb, dir, tree)
		dirs = append(dirs, dir)
	}
	return dirs
}

// Tmpfs mounts a file system in memory until the test ends, with these flags, and returns its root.
func Tmpfs(tb testing.TB, flags uintptr) string {
	tb.Helper()
	dir := tb.TempDir()
	TmpfsAt(tb, dir, flags)
	return dir
}

// TmpfsAt is Tmpfs on a directory that is there.
func TmpfsAt(tb testing.TB, dir string, flags uintptr) {
	tb.Helper()
	NeedRoot(tb)
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "mode=755,nr_inodes=0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			tb.Errorf("unmount %s: %v", dir, err)
		}
	})
}
