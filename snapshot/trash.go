package snapshot

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// trash is the directory in which trees wait for their removal. Moving a tree there is one rename and may be done under
// a lock; removing it takes as long as it has files and is done outside of locks.
type trash string

// take moves path into the trash. A path that is gone already is fine.
func (t trash) take(path string) error {
	err := os.Rename(path, filepath.Join(string(t), rand.Text()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// empty removes what is in the trash. Several processes may empty it at once.
func (t trash) empty() error {
	entries, err := os.ReadDir(string(t))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(string(t), e.Name())))
	}
	return errors.Join(errs...)
}
