package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/once"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/source"
	"github.com/lbuild/lbuild/snapshot"
)

// contexts are the trees that a build reads: the build context, named ones, and snapshots. Each is opened once, by whoever
// needs it first, and stays open until the build ends.
type contexts struct {
	store   *snapshot.Store
	lease   *snapshot.Lease
	req     *Request // whose Buildfile is found
	onClose func(func() error)
	warn    func(line int, text string)

	dir    string // the build context; the unpacked one when it came as a tar
	ignore string // path of the Buildfile, beside which its ignore file may lie; "" when it has none
	trees  once.Map[string, *source.Tree]
}

// open makes the context a directory and reads the Buildfile's text, unless the request holds it.
func (c *contexts) open(ctx context.Context) error {
	c.dir = c.req.Context
	if c.dir == "" {
		c.dir = "."
	}
	if c.req.ContextTar != nil {
		c.dir = filepath.Join(c.lease.Dir(), "context")
		if err := os.Mkdir(c.dir, 0o700); err != nil {
			return fmt.Errorf("make a place for the context: %w", err)
		}
		if err := source.Extract(ctx, c.req.ContextTar, c.dir); err != nil {
			return fmt.Errorf("unpack the context: %w", err)
		}
	}
	if info, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("context %s does not exist", c.dir)
	} else if err != nil {
		return fmt.Errorf("context: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("context %s is not a directory", c.dir)
	}
	if c.req.BuildfileText != nil {
		return nil
	}
	return c.readBuildfile()
}

// defaultNames are tried in this order where no Buildfile is named.
var defaultNames = []string{"Buildfile", "Dockerfile", "Containerfile"}

// readBuildfile reads the Buildfile's text. The user's path may lead anywhere; in a context, and in a tar above all, a
// name may not.
func (c *contexts) readBuildfile() error {
	if name := c.req.Buildfile; name != "" && c.req.ContextTar == nil {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the Buildfile: %w", err)
		}
		c.req.BuildfileText, c.ignore = append([]byte{}, text...), name
		return nil
	}
	names := defaultNames
	if c.req.Buildfile != "" {
		names = []string{c.req.Buildfile}
	}
	for _, name := range names {
		text, err := c.readContext(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s in the context: %w", name, err)
		}
		c.req.Buildfile, c.req.BuildfileText = name, append([]byte{}, text...)
		c.ignore = filepath.Join(c.dir, filepath.Clean("/"+name))
		return nil
	}
	return fmt.Errorf("the context has no %s", strings.Join(names, " or "))
}

// maxBuildfile bounds a Buildfile in a context.
const maxBuildfile = 16 << 20 // bytes

// readContext reads a regular file of the context, also through links that stay in it.
func (c *contexts) readContext(name string) ([]byte, error) {
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name = strings.TrimPrefix(filepath.Clean("/"+name), "/")
	info, err := root.Stat(name) // first: to open a device is to use it
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxBuildfile {
		return nil, fmt.Errorf("it is no regular file of at most %d bytes", maxBuildfile)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBuildfile))
}

// openDir opens the build context, without what its ignore file leaves out, or a named one.
func (c *contexts) openDir(src plan.Source) (*source.Tree, error) {
	if src.Kind == plan.FromContext {
		return c.tree(c.dir, c.ignore)
	}
	return c.tree(c.req.Contexts[src.Name], "")
}

// openTree mounts a snapshot for reading.
func (c *contexts) openTree(ctx context.Context, name string) (*source.Tree, error) {
	return c.trees.Do("snapshot://"+name, func() (*source.Tree, error) {
		view, err := c.store.View(ctx, name)
		if err != nil {
			return nil, err
		}
		c.onClose(view.Close)
		tree, err := source.Open(view.Dir(), source.Options{})
		if err != nil {
			return nil, err
		}
		c.onClose(tree.Close)
		return tree, nil
	})
}

// tree opens a directory that the user named, once. Everything in it counts as owned by root. Digests of its files
// are kept in the store, so that the next build reads only what changed.
func (c *contexts) tree(dir, buildfile string) (*source.Tree, error) {
	return c.trees.Do(dir+"\x00"+buildfile, func() (*source.Tree, error) { // its ignore file counts in one of the two only
		patterns, err := source.ReadIgnore(dir, buildfile)
		if err != nil {
			return nil, err
		}
		digests, err := c.digests(dir)
		if err != nil {
			return nil, err
		}
		t, err := source.Open(dir, source.Options{Ignore: patterns, RootOwned: true, Digests: digests})
		if err != nil {
			return nil, err
		}
		c.onClose(t.Close)
		return t, nil
	})
}

// digests loads what is remembered of the files of a directory, and saves it when the build ends. A directory that ends
// with the build has none.
func (c *contexts) digests(dir string) (*source.DigestCache, error) {
	abs, err := filepath.Abs(dir)
	if err != nil || strings.HasPrefix(abs, c.lease.Dir()+"/") {
		return nil, err
	}
	file := filepath.Join(cache.FileDigests(c.store.Root()), string(plan.NewKey(abs)))
	digests, err := source.LoadDigests(file)
	if err != nil {
		return nil, err
	}
	c.onClose(func() error {
		if err := digests.Save(file, c.lease.Dir()); err != nil {
			c.warn(0, fmt.Sprintf("the next build reads all of %s again: %v", dir, err))
		}
		return nil
	})
	return digests, nil
}
