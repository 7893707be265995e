package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// writeWhole lets fill write a file, which appears at path when all of it is on disk; a reader sees the old content or
// all of the new. What is no regular file, such as /dev/stdout or a pipe, is written to as it is.
func writeWhole(path string, fill func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fillInPlace(path, fill)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".lbuild-*")
	if err != nil {
		return err
	}
	err = fill(tmp)
	if err == nil {
		err = errors.Join(tmp.Chmod(0o644), tmp.Sync())
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

func fillInPlace(path string, fill func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}

// writeBytes is writeWhole for content that is in memory.
func writeBytes(path string, data []byte) error {
	return writeWhole(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
