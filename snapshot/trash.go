package snapshot

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// trash is the directory in which trees wait for their removal. Moving a tree there is one rename and may be done under
// a lock; removing it takes as long as it has files and is done outside of locks.
type trash string

// take moves path into the trash. A path that is gone already is fine.
func (t trash) take(path string) error {
	return unlessGone(os.Rename(path, filepath.Join(string(t), rand.Text())))
}

// empty removes what is in the trash. Several processes may empty it at once.
func (t trash) empty() (err error) {
	top, err := os.OpenRoot(string(t))
	if err != nil {
		return err
	}
	defer closeInto(&err, top)
	failed := map[string]error{}
	for {
		names, err := someNames(top)
		names = slices.DeleteFunc(names, func(name string) bool { return failed[name] != nil })
		if err != nil || len(names) == 0 {
			return errors.Join(append(slices.Collect(maps.Values(failed)), err)...)
		}
		for _, name := range names {
			if err := remove(top, top, name, name, levels); err != nil {
				failed[name] = err
			}
		}
	}
}

// levels are removed in place. A step can nest directories deeper than a path may be long, and deeper than a process may
// have files open.
const levels = 8

// remove removes a name in a directory of the trash with all below it, which has this path from the top. What lies too deep
// is moved to the top, to be removed from there.
func remove(top, dir *os.Root, name, path string, deep int) error {
	err := dir.Remove(name)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return unlessGone(err)
	}
	if deep == 0 {
		return unlessGone(top.Rename(path, rand.Text()))
	}
	if err := removeContent(top, dir, name, path, deep); err != nil {
		return unlessGone(err)
	}
	return unlessGone(dir.Remove(name))
}

// removeContent removes what is in a directory.
func removeContent(top, dir *os.Root, name, path string, deep int) (err error) {
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return err
	}
	defer closeInto(&err, sub)
	for {
		names, err := someNames(sub)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, n := range names {
			if err := remove(top, sub, n, filepath.Join(path, n), deep-1); err != nil {
				return err
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
