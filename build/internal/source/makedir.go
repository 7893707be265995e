package source

import (
	"errors"
	"fmt"
)

// MakeDir makes a directory and its parents inside the tree at root, with mode 0755, owned by owner or 0:0. Links on
// the way are followed inside root. A directory that exists stays as it is; anything else in its place is an error.
func MakeDir(root, dir string, owner *Owner) error {
	r, err := openRoot(root)
	if err != nil {
		return err
	}
	c := &copier{root: r, dir: root, opts: CopyOptions{Owner: owner}}
	err = c.mkdirAll(dir)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("make directory %q: %w", dir, err)
	}
	return nil
}
