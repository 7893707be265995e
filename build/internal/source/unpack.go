package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// Extract unpacks a tar, also compressed, into dir as a build context: whiteout names in it are ordinary files, and all
// is owned by the caller. Nothing is written outside dir. After an error the caller removes dir.
func Extract(ctx context.Context, r io.Reader, dir string) error {
	err := apply(ctx, r, dir, nil, archive.WithNoSameOwner())
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("not a tar archive, or a damaged one: %w", err)
	}
	return err
}

// isArchive reports whether the item is a file that is a tar archive by its content. As in docker
// one readable header is enough, and what only looks like an archive is a plain file. One that it takes too much memory
// to look into is an error.
func (it *item) isArchive() (bool, error) {
	if it.tree == nil || !it.node.meta.isRegular() {
		return false, nil
	}
	f, err := it.tree.root.openRegular(it.path, &it.node.meta)
	if err != nil {
		return false, err
	}
	defer f.Close()
	plain, err := decompress(f)
	if err == nil {
		defer plain.Close()
		_, err = tar.NewReader(plain).Next()
	}
	if errors.Is(err, errWindow) {
		return false, fmt.Errorf("unpack %q: %w", it.path, err)
	}
	return err == nil, nil
}

// unpack applies an archive to dest, which becomes a directory if it is not there. As in docker a --chmod changes
// neither.
func (c *copier) unpack(ctx context.Context, it *item, dest string) error {
	plain := copier{root: c.root, opts: CopyOptions{Owner: c.opts.Owner}}
	if err := plain.mkdirAll(dest); err != nil {
		return err
	}
	c.touched = append(c.touched, plain.touched...)
	at, err := c.root.resolve(dest)
	if err != nil {
		return err
	}
	c.touched = append(c.touched, at.path)
	f, err := it.tree.root.openRegular(it.path, &it.node.meta)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.applyAt(ctx, f, at.path); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return unchanged(f, &it.node.meta) // its digest may be remembered, and is then that of the archive as it was selected
}

// applyAt unpacks a tar stream into the directory at a canonical path, with the owner and the latest time of the options.
func (c *copier) applyAt(ctx context.Context, r io.Reader, at string) (err error) {
	inner, err := openRoot(filepath.Join(c.dir, at))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inner.Close()) }()
	dirs := touchedDirs{root: inner, names: map[string]bool{}}
	change := func(h *tar.Header) {
		if c.opts.Owner != nil {
			h.Uid, h.Gid = c.opts.Owner.UID, c.opts.Owner.GID
		}
		if c.opts.Epoch == nil {
			return
		}
		if h.ModTime.After(*c.opts.Epoch) {
			h.ModTime = *c.opts.Epoch
		}
		dirs.note(h.Name)
	}
	if err := apply(ctx, r, inner.Name(), change); err != nil {
		return err
	}
	left, err := dirs.left()
	for _, name := range left {
		c.touched = append(c.touched, path.Join(at, name))
	}
	return err
}

// apply unpacks a tar stream into dir. Change, which may be nil, sees each header before its entry is made.
func apply(ctx context.Context, r io.Reader, dir string, change func(*tar.Header), opts ...archive.ApplyOpt) error {
	plain, err := decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	last := &tar.Header{}
	opts = append(opts,
		archive.WithFilter(func(h *tar.Header) (bool, error) {
			forget(last)
			last = h
			if change != nil {
				change(h)
			}
			return h.Typeflag != tar.TypeXGlobalHeader, nil
		}),
		archive.WithConvertWhiteout(func(*tar.Header, string) (bool, error) { return true, nil }),
	)
	_, err = archive.Apply(silent(ctx), dir, plain, opts...)
	return err
}

// forget drops what the archive package, which keeps the headers of directories until the end, does not need to set their
// times: one may have a megabyte of records, and its name may lie among them.
func forget(h *tar.Header) {
	*h = tar.Header{Typeflag: h.Typeflag, Name: strings.Clone(h.Name), ModTime: h.ModTime, AccessTime: h.AccessTime}
}

// silent keeps containerd from writing its log to the terminal.
func silent(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(l))
}

// ApplyLayer unpacks the tar of a layer that Placed made over the tree that it was made on, mounted at root.
func ApplyLayer(ctx context.Context, r io.Reader, root string) error {
	var top *tar.Header
	note := archive.WithFilter(func(h *tar.Header) (bool, error) {
		if path.Clean(h.Name) == "." {
			top = h
		}
		return true, nil
	})
	if _, err := archive.Apply(silent(ctx), root, r, note); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // a compressed stream has its checksum behind the tar
		return err
	}
	if top == nil {
		return nil
	}
	return os.Chtimes(root, time.Time{}, top.ModTime) // which the archive package leaves out
}
