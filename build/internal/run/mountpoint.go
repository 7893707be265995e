package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	cfs "github.com/containerd/continuity/fs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// mountPoints are the files and directories that were made in a root so that
// a container can mount over them.
type mountPoints struct {
	root *os.Root
	made []string // relative to root, parents first
}

// makeMountPoints makes what root lacks, so that the runtime need not, and
// keeps the times of the directories above. On error nothing stays behind.
func makeMountPoints(root string, mounts []specs.Mount) (*mountPoints, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	p := &mountPoints{root: dir}
	for _, m := range mounts {
		if coveredByAnother(m.Destination, mounts) {
			continue
		}
		if err := p.make(m); err != nil {
			return nil, errors.Join(fmt.Errorf("mount point %s: %w", m.Destination, err), p.remove())
		}
	}
	return p, nil
}

func coveredByAnother(path string, mounts []specs.Mount) bool {
	for _, m := range mounts {
		if strings.HasPrefix(path, m.Destination+"/") {
			return true
		}
	}
	return false
}

func (p *mountPoints) make(m specs.Mount) error {
	missing, err := p.missing(m.Destination)
	if err != nil {
		return err
	}
	for i, path := range missing {
		isFile := m.Type == "bind" && i == len(missing)-1
		if err := p.makeOne(path, isFile); err != nil {
			return err
		}
	}
	return nil
}

// missing returns the parts of path that do not exist, parents first, after
// following the image's links inside the root.
func (p *mountPoints) missing(path string) ([]string, error) {
	resolved, err := cfs.RootPath(p.root.Name(), path)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(p.root.Name(), resolved)
	if err != nil {
		return nil, err
	}
	var missing []string
	for ; rel != "."; rel = filepath.Dir(rel) {
		_, err := p.root.Lstat(rel)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		missing = append([]string{rel}, missing...)
	}
	return missing, nil
}

func (p *mountPoints) makeOne(path string, isFile bool) error {
	return p.keepTimes(filepath.Dir(path), func() error {
		if err := p.create(path, isFile); err != nil {
			return err
		}
		p.made = append(p.made, path)
		return p.root.Chmod(path, stubMode(isFile)) // whatever the umask
	})
}

func (p *mountPoints) create(path string, isFile bool) error {
	if !isFile {
		return p.root.Mkdir(path, stubMode(false))
	}
	f, err := p.root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, stubMode(true))
	if err != nil {
		return err
	}
	return f.Close()
}

func stubMode(isFile bool) fs.FileMode {
	if isFile {
		return 0o644
	}
	return 0o755
}

// remove takes away what is still empty, and leaves what the command filled.
func (p *mountPoints) remove() error {
	var errs []error
	for i := len(p.made) - 1; i >= 0; i-- {
		errs = append(errs, p.removeOne(p.made[i]))
	}
	return errors.Join(append(errs, p.root.Close())...)
}

func (p *mountPoints) removeOne(path string) error {
	info, err := p.root.Lstat(path)
	if err != nil {
		return nil //nolint:nilerr // the command moved it away: it is no longer ours
	}
	empty := info.IsDir() || info.Mode().IsRegular() && info.Size() == 0
	if !empty {
		return nil
	}
	return p.keepTimes(filepath.Dir(path), func() error {
		err := p.root.Remove(path)
		if errors.Is(err, syscall.ENOTEMPTY) {
			return nil
		}
		return err
	})
}

// keepTimes gives dir the modification time back that it had before change.
func (p *mountPoints) keepTimes(dir string, change func() error) error {
	before, err := p.root.Lstat(dir)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return p.root.Chtimes(dir, before.ModTime(), before.ModTime())
}
