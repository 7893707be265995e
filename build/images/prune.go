package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/lbuild/lbuild/build/internal/blocks"
	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/snapshot"
)

// Pruned counts what Prune removed.
type Pruned struct {
	Bytes     int64 `json:"bytes"`
	Steps     int   `json:"steps"` // records of cached steps and packed layers
	Images    int   `json:"images"`
	Snapshots int   `json:"snapshots"`
	Blobs     int   `json:"blobs"`
}

// Prune forgets the cached steps, the digests of context files and the images without a name, with all also the others,
// and deletes what then nothing needs. What live builds use stays.
func (m *Images) Prune(ctx context.Context, all bool) (Pruned, error) {
	ctx = m.store.Context(ctx)
	removed, err := m.forget(ctx, all)
	if err != nil {
		return Pruned{}, fmt.Errorf("prune: %w", err)
	}
	report, err := m.store.Prune(ctx, snapshot.PruneOptions{})
	blocks.New(blocks.Dir(m.store.Root()), "", m.store.Content()).Tidy(ctx)
	err = errors.Join(err, removeIn(cache.FileDigests(m.store.Root())))
	return Pruned{
		Bytes: report.Bytes, Steps: report.Records, Images: removed, Snapshots: report.Snapshots, Blobs: report.Blobs,
	}, err
}

// removeIn removes what is in a directory, and not the directory: a live build may be about to move a file there.
func removeIn(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

// forget takes away the names of untagged images, or of all. It returns how many.
func (m *Images) forget(ctx context.Context, all bool) (int, error) {
	records, err := m.store.Images().List(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, record := range records {
		if !all && !image.IsUntagged(record.Name) {
			continue
		}
		err := m.store.Images().Delete(ctx, record.Name)
		if err != nil && !errdefs.IsNotFound(err) {
			return removed, err
		}
		removed++
	}
	return removed, nil
}
