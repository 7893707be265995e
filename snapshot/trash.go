package snapshot

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// trash is the directory in which trees wait for their removal. Moving a tree there is one rename and may be done under
// a lock; removing it takes as long as it has files and is done outside of locks.
type trash string

// moveIn moves path into the trash and returns its name there. A path that is gone already is fine and has the name "".
func (t trash) moveIn(path string) (name string, err error) {
	name = rand.Text()
	if err := os.Rename(path, filepath.Join(string(t), name)); err != nil {
		return "", unlessGone(err)
	}
	return name, nil
}

// remove removes what was moved in under these names, as far as that is possible, and nothing else: the rest may be
// large and somebody else's to remove.
func (t trash) remove(ctx context.Context, names ...string) (err error) {
	top, err := os.OpenRoot(string(t))
	if err != nil {
		return err
	}
	defer closeInto(&err, top)
	r := newRemoval(top)
	var errs []error
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if name != "" {
			errs = append(errs, r.remove(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// empty removes all that is in the trash, as far as that is possible. Several processes may empty it at once.
func (t trash) empty(ctx context.Context) (err error) {
	top, err := os.OpenRoot(string(t))
	if err != nil {
		return err
	}
	defer closeInto(&err, top)
	r := newRemoval(top)
	failed := map[string]error{}
	for {
		names, err := someNames(top)
		names = slices.DeleteFunc(names, func(name string) bool { return failed[name] != nil })
		if err != nil || len(names) == 0 {
			return errors.Join(append(slices.Collect(maps.Values(failed)), err)...)
		}
		for _, name := range names {
			err := r.remove(ctx, name)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				failed[name] = err
			}
		}
	}
}

// levels are removed in place. A step can nest directories deeper than a path may be long, and deeper than a process may
// have files open.
const levels = 8

// removal removes trees of the trash. What lies too deep is moved to the top, to be removed from there. It goes by
// numbers, because a step can make more such places than there is memory for a list of them.
type removal struct {
	top           *os.Root
	prefix        string // of what was moved
	moved, behind int    // so many were moved, and so many of them dealt with
}

func newRemoval(top *os.Root) *removal { return &removal{top: top, prefix: rand.Text()} }

func (r *removal) deep(number int) string { return r.prefix + "." + strconv.Itoa(number) }

// remove removes a name of the trash with all below it. The error is the first.
func (r *removal) remove(ctx context.Context, name string) error {
	err := r.removeTop(ctx, name)
	for r.behind < r.moved && ctx.Err() == nil {
		r.behind++
		if deepErr := r.removeTop(ctx, r.deep(r.behind)); err == nil {
			err = deepErr
		}
	}
	return err
}

func (r *removal) removeTop(ctx context.Context, name string) error {
	if err := r.removeIn(ctx, r.top, name, name, levels); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(r.top.Name(), name), err) // err names one file, without its directories
	}
	return nil
}

// removeIn removes a name in a directory with all below it, which has this path from the top.
func (r *removal) removeIn(ctx context.Context, dir *os.Root, name, path string, deep int) error {
	err := dir.Remove(name)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return unlessGone(err)
	}
	if deep == 0 {
		r.moved++
		return unlessGone(r.top.Rename(path, r.deep(r.moved)))
	}
	if err := r.removeContent(ctx, dir, name, path, deep); err != nil {
		return unlessGone(err)
	}
	return unlessGone(dir.Remove(name))
}

// removeContent removes what is in a directory.
func (r *removal) removeContent(ctx context.Context, dir *os.Root, name, path string, deep int) (err error) {
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return err
	}
	defer closeInto(&err, sub)
	var first error
	failed := map[string]bool{}
	for {
		names, err := someNames(sub)
		names = slices.DeleteFunc(names, func(name string) bool { return failed[name] })
		if err != nil || len(names) == 0 {
			return cmp.Or(first, err)
		}
		for _, n := range names {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := r.removeIn(ctx, sub, n, filepath.Join(path, n), deep-1); err != nil {
				first, failed[n] = cmp.Or(first, err), true
			}
		}
	}
}

// fewNames are those of a directory that are read at once.
const fewNames = 1024

// someNames lists some names of a directory; none if it is empty.
func someNames(dir *os.Root) (names []string, err error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, f)
	names, err = f.Readdirnames(fewNames)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
