package images

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"

	"github.com/lbuild/lbuild/build/internal/export"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/snapshot"
)

// Load puts the images of an archive into the store, unpacks them and then gives them their names: archives of docker
// save, old and new, and OCI layouts, plain or compressed. An image without a name is known by its digest.
func (m *Images) Load(ctx context.Context, r io.Reader) ([]Info, error) {
	var loaded []Info
	err := m.withLease(ctx, func(ctx context.Context) error {
		list, err := export.LoadArchive(ctx, m.store.Content(), r)
		if err != nil {
			return err
		}
		for _, img := range list {
			infos, err := m.adopt(ctx, img)
			if err != nil {
				return err
			}
			loaded = append(loaded, infos...)
		}
		return nil
	})
	return loaded, err
}

// adopt unpacks an image that was read from a file, which shows that its layers are what it says, and names it.
func (m *Images) adopt(ctx context.Context, img export.Image) ([]Info, error) {
	manifest, err := m.storedManifest(ctx, img.Manifest)
	if err == nil {
		_, err = m.store.Unpack(ctx, manifest, nil, snapshot.UnpackOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("load image %s: %w", img.Manifest.Digest, err)
	}
	names := img.Names
	if len(names) == 0 {
		names = []string{image.UntaggedName(img.Manifest.Digest)}
	}
	var infos []Info
	for _, name := range names {
		if err := image.SetName(ctx, m.store.Images(), name, img.Manifest); err != nil {
			return infos, err
		}
		infos = append(infos, m.info(ctx, images.Image{Name: name, Target: img.Manifest}))
	}
	return infos, nil
}

// Save writes images into one archive, an OCI layout that docker load reads, too. An image that a name stands for keeps
// that name in the archive; one that a digest stands for keeps all of its names.
func (m *Images) Save(ctx context.Context, w io.Writer, refs []string) error {
	return m.withLease(ctx, func(ctx context.Context) error {
		var list []export.Image
		for _, ref := range refs {
			records, err := m.find(ctx, ref)
			if err != nil {
				return err
			}
			list = addRecords(list, records)
		}
		return export.Docker(ctx, m.store.Content(), w, list)
	})
}

// addRecords adds names to the images that are in list, and adds the other images.
func addRecords(list []export.Image, records []images.Image) []export.Image {
	for _, record := range records {
		i := indexOf(list, record)
		if i == len(list) {
			list = append(list, export.Image{Manifest: record.Target})
		}
		if !image.IsUntagged(record.Name) {
			list[i].Names = append(list[i].Names, record.Name)
		}
	}
	return list
}

func indexOf(list []export.Image, record images.Image) int {
	for i, img := range list {
		if img.Manifest.Digest == record.Target.Digest {
			return i
		}
	}
	return len(list)
}
