package images

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/remote"
)

// Tag gives the image that source names one more name, which another image loses if it had it.
func (m *Images) Tag(ctx context.Context, source, target string) error {
	name, err := newName(target)
	if err != nil {
		return err
	}
	// Under a lease the image stays until it has the name, also when it loses its last other one meanwhile.
	return m.withLease(ctx, func(ctx context.Context) error {
		record, err := m.findOne(ctx, source)
		if err != nil {
			return err
		}
		return image.SetName(ctx, m.store.Images(), name, record.Target)
	})
}

// newName is the full form of a name that the user chooses, with a tag.
func newName(text string) (string, error) {
	named, err := remote.ParseReference(text)
	if err != nil {
		return "", err
	}
	if _, ok := named.(reference.Digested); ok {
		return "", fmt.Errorf("name %q: a digest cannot be chosen", text)
	}
	return named.String(), nil
}

// Remove takes away names, and deletes what nothing needs any more. A name takes away itself, a digest all names of its
// image. It goes on after an error; removed lists the names that went, also then.
func (m *Images) Remove(ctx context.Context, refs []string) (removed []string, err error) {
	ctx = m.store.Context(ctx)
	var errs []error
	for _, ref := range refs {
		records, err := m.find(ctx, ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, record := range records {
			if err := image.RemoveName(ctx, m.store, record.Name); err != nil && !errdefs.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("remove %s: %w", record.Name, err))
				continue
			}
			removed = append(removed, publicName(record))
		}
	}
	if len(removed) > 0 {
		errs = append(errs, m.store.Collect(ctx))
	}
	return removed, errors.Join(errs...)
}

// publicName is the name of a record, or its digest when it has no name.
func publicName(record images.Image) string {
	if image.IsUntagged(record.Name) {
		return record.Target.Digest.String()
	}
	return record.Name
}
