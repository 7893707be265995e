package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lbuild/lbuild/bench"
	"golang.org/x/sys/unix"
)

// Upper is the upper directory of an overlay mount, as a step left it.
type Upper struct {
	Name, Title string
	steps       []string   // shell commands in the base; the last one leaves the directory
	tree        bench.Tree // that is written below /app, instead of commands
}

// Uppers are all workloads of differs.
func Uppers() []Upper {
	install := strings.TrimPrefix(aptSteps[0], "RUN ")
	return []Upper{
		{Name: "layer-small", Title: "60,000 small files", tree: smallTree},
		{Name: "layer-large", Title: "1 GB in 20 files", tree: largeTree},
		{Name: "layer-apt", Title: "apt-get install of build-essential", steps: []string{install}},
		{Name: "layer-purge", Title: "the purge after it", steps: []string{install, strings.TrimPrefix(aptSteps[2], "RUN ")}},
	}
}

// Dirs are the directories of an overlay mount.
type Dirs struct {
	Upper string   `json:"upper"`
	Lower []string `json:"lower"` // topmost first
}

// Make leaves the directories below dir, over an unpacked base. Nothing is mounted when it returns.
func (u Upper) Make(ctx context.Context, dir, base string, log *os.File) (Dirs, error) {
	dirs := Dirs{Upper: base}
	if len(u.steps) == 0 {
		u.steps = []string{""}
	}
	for i, command := range u.steps {
		dirs = Dirs{
			Upper: filepath.Join(dir, fmt.Sprintf("upper%d", i)),
			Lower: append([]string{dirs.Upper}, dirs.Lower...),
		}
		if err := u.step(ctx, dir, dirs, command, log); err != nil {
			return Dirs{}, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return dirs, nil
}

// step mounts the directories and runs a command there, or writes the tree.
func (u Upper) step(ctx context.Context, dir string, dirs Dirs, command string, log *os.File) (err error) {
	merged, work := filepath.Join(dir, "merged"), filepath.Join(dir, "work")
	for _, d := range []string{dirs.Upper, merged, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	options := "index=off,metacopy=off,redirect_dir=nofollow,lowerdir=" + strings.Join(dirs.Lower, ":") +
		",upperdir=" + dirs.Upper + ",workdir=" + work
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount %s: %w", merged, err)
	}
	defer func() {
		err = errors.Join(err, unix.Unmount(merged, 0), os.RemoveAll(work), os.Remove(merged))
	}()
	if u.tree.Files > 0 {
		return writeTree(u.tree, filepath.Join(merged, "app"))
	}
	return run(ctx, log, "chroot", merged, "sh", "-c", command)
}

func writeTree(tree bench.Tree, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	_, err := tree.Write(dir)
	return err
}

// Tiny is the same with few files, to try a harness.
func (u Upper) Tiny() Upper {
	u.tree = tiny(u.tree)
	return u
}

// tiny is a tree with a hundredth part of the bytes.
func tiny(tree bench.Tree) bench.Tree {
	const part = 100
	if tree.Min > 0 {
		tree.Min, tree.Max = tree.Min/part, tree.Max/part
	} else {
		tree.Files /= part
	}
	return tree
}
