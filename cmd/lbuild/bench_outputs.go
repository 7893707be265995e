package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkOutputs refuses paths that nothing could be written to after the benchmark, which may have taken an hour.
func (b *benchmark) checkOutputs() error {
	return errors.Join(checkFile("--json", b.json), checkFile("--csv", b.csv), checkDirectory("--plots", b.plots))
}

// checkFile wants the directory of a file to be there.
func checkFile(flag, path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: %w", flag, &fs.PathError{Op: "create", Path: path, Err: syscall.EISDIR})
	}
	if err := isDirectory(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

// checkDirectory wants a directory, or one in which it can be made with those above it.
func checkDirectory(flag, path string) error {
	if path == "" {
		return nil
	}
	err := isDirectory(path)
	for errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		err = isDirectory(path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}

func isDirectory(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return err
}
