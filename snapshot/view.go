package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
)

// View is a snapshot's tree, mounted for reading.
type View struct {
	dir  string
	once sync.Once
	err  error
}

// View mounts the snapshot for reading; "" is an empty directory. ctx is a lease's: the snapshot is kept by it, and the
// view ends with it at the latest. The caller closes the view.
func (s *Store) View(ctx context.Context, name string) (*View, error) {
	lease, err := s.leaseOf(ctx)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	dir, err := lease.mountpoint()
	if err != nil || name == "" {
		return &View{dir: dir}, err
	}
	if err := s.viewAt(lease.Context(ctx), dir, name); err != nil {
		return nil, fmt.Errorf("view of snapshot %s: %w", name, err)
	}
	return &View{dir: dir}, nil
}

func (s *Store) viewAt(ctx context.Context, dir, name string) error {
	if err := s.addToLease(ctx, name); err != nil {
		return err
	}
	dirs, err := s.Dirs(ctx, name)
	if err != nil {
		return err
	}
	return mount.All([]mount.Mount{dirs.mount()}, dir)
}

// mount shows the tree without a place to write. Overlayfs wants two layers at least.
func (d Dirs) mount() mount.Mount {
	if len(d.Lower) == 0 {
		return mount.Mount{Type: "bind", Source: d.Upper, Options: []string{"ro", "rbind"}}
	}
	options := append([]string{"ro", "lowerdir=" + strings.Join(append([]string{d.Upper}, d.Lower...), ":")}, overlayOptions...)
	if d.UserXattr {
		options = append(options, "userxattr")
	}
	return mount.Mount{Type: "overlay", Source: "overlay", Options: options}
}

// Dir is where the tree is mounted.
func (v *View) Dir() string { return v.dir }

// Close unmounts the tree. Later calls return what the first returned.
func (v *View) Close() error {
	v.once.Do(func() {
		v.err = errors.Join(unmountBelow(v.dir), removeMountpoint(v.dir))
	})
	return v.err
}
