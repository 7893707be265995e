package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/lbuild/lbuild/diff"
	"golang.org/x/sys/unix"
)

// Unpack puts the files of an image into an empty directory, by containerd's code, and sets all times to one: builders
// differ in which times they keep, and commands take the clock's.
func (i Image) Unpack(ctx context.Context, dir string) error {
	for _, l := range i.Layers {
		if err := apply(ctx, i.Blob(l), dir); err != nil {
			return fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	return stopClocks(dir)
}

func apply(ctx context.Context, path, dir string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tar, err := compression.DecompressStream(f)
	if err != nil {
		return err
	}
	_, err = archive.Apply(ctx, dir, tar)
	return errors.Join(err, tar.Close())
}

func stopClocks(dir string) error {
	times := []unix.Timespec{unix.NsecToTimespec(int64(time.Second)), unix.NsecToTimespec(int64(time.Second))}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// maxDifferences is how many are worth telling.
const maxDifferences = 10

// Different lists paths that two unpacked images do not have alike, but for those below the ignored ones. It lists ten at
// most.
func Different(ctx context.Context, one, other string, ignored []string) ([]string, error) {
	var paths []string
	for c, err := range diff.Trees(ctx, diff.TreesOptions{Old: one, New: other}) {
		if err != nil {
			return nil, err
		}
		if isBelow(c.Path, ignored) {
			continue
		}
		if c.Kind == diff.Modify && c.Mode.IsDir() {
			// It is told for the sake of what is below, too.
			if same, err := sameDirectory(filepath.Join(one, c.Path), filepath.Join(other, c.Path)); err != nil {
				return nil, err
			} else if same {
				continue
			}
		}
		paths = append(paths, c.Kind.String()+" /"+c.Path)
		if len(paths) == maxDifferences {
			break
		}
	}
	return paths, nil
}

// sameDirectory compares type, mode and owner of two directories.
func sameDirectory(one, other string) (bool, error) {
	var a, b unix.Stat_t
	if err := errors.Join(unix.Lstat(one, &a), unix.Lstat(other, &b)); err != nil {
		return false, err
	}
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid, nil
}

// isBelow tells whether a path is one of some others, or inside of one.
func isBelow(path string, others []string) bool {
	for _, o := range others {
		if path == o || strings.HasPrefix(path, o+"/") {
			return true
		}
	}
	return false
}
