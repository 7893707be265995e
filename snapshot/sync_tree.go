package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"
)

// fewPaths is up to how many files and directories are synced one by one. Syncing the file system is cheaper for more,
// but it waits for what all other programs have written.
const fewPaths = 32

// syncTree puts a tree that nobody writes to on disk, and measures it.
func (s *Store) syncTree(ctx context.Context, dir string) (snapshots.Usage, error) {
	t, err := measureTree(ctx, dir)
	if err != nil {
		return t.usage, fmt.Errorf("measure: %w", err)
	}
	if t.many {
		return t.usage, s.sync()
	}
	return t.usage, t.sync()
}

// treeSize is what a tree takes on disk.
type treeSize struct {
	usage     snapshots.Usage
	paths     []string // of files and directories
	many      bool     // paths are not all
	hardLinks map[uint64]bool
}

// measureTree walks a tree of one file system. A step can make paths longer than those from here: what they lead to
// counts nothing, and cannot be synced by its name.
func measureTree(ctx context.Context, dir string) (treeSize, error) {
	t := treeSize{hardLinks: map[uint64]bool{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			err = t.add(path, d)
		}
		if errors.Is(err, unix.ENAMETOOLONG) {
			t.many = true
			return nil
		}
		return err
	})
	return t, err
}

func (t *treeSize) add(path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	// What is neither file nor directory lies in the directory that names it.
	if t.many = t.many || len(t.paths) == fewPaths; !t.many && (d.IsDir() || d.Type().IsRegular()) {
		t.paths = append(t.paths, path)
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Nlink > 1 && !d.IsDir() {
		if t.hardLinks[st.Ino] {
			return nil
		}
		t.hardLinks[st.Ino] = true
	}
	t.usage.Inodes++
	t.usage.Size += st.Blocks * statBlock
	return nil
}

// sync puts a tree of few paths on disk.
func (t *treeSize) sync() error {
	for _, path := range t.paths {
		if err := syncPath(path); err != nil {
			return err
		}
	}
	return nil
}

// syncPath puts a file or directory on disk; a link is not followed.
func syncPath(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
