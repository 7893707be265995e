package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	continuity "github.com/containerd/continuity/fs"
)

// Tree copies the files of a mounted root into dest, which is made when it is not there, with owners, modes, times,
// extended attributes and hard links. What dest has and the root has not stays; what both have is replaced, except a
// directory, which is filled. Nothing is written through a link that dest has. dest itself keeps its owner and mode.
func Tree(ctx context.Context, dir, dest string) error {
	if err := copyTree(ctx, dir, dest); err != nil {
		return fmt.Errorf("copy to %s: %w", dest, err)
	}
	return nil
}

func copyTree(ctx context.Context, dir, dest string) (err error) {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return err
	}
	before, err := os.Stat(dest)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := makeRoom(ctx, dir, root); err != nil {
		return err
	}
	if err := continuity.CopyDir(dest, dir); err != nil {
		return err
	}
	if err := setTimes(dir, root); err != nil {
		return err
	}
	owner := before.Sys().(*syscall.Stat_t)
	return errors.Join(root.Chown(".", int(owner.Uid), int(owner.Gid)), root.Chmod(".", before.Mode()))
}

// setTimes gives directories the times that filling them has changed.
func setTimes(dir string, dest *os.Root) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return dest.Chtimes(rel, time.Time{}, info.ModTime())
	})
}

// makeRoom removes from dest what stands where a file of dir goes, so that the copy makes each file anew and no link of
// dest lies on its way.
func makeRoom(ctx context.Context, dir string, dest *os.Root) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		there, err := dest.Lstat(rel)
		if errors.Is(err, fs.ErrNotExist) {
			return skip(entry)
		}
		if err != nil || entry.IsDir() && there.IsDir() {
			return err
		}
		if err := dest.RemoveAll(rel); err != nil {
			return err
		}
		return skip(entry)
	})
}

// skip leaves out what is in a directory that dest does not have.
func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}
