package images

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

// Info is one name in the image store.
type Info struct {
	Name     string            `json:"name"`   // full reference; "" for an image without one
	Digest   digest.Digest     `json:"digest"` // what the name stands for: a manifest or an index
	Config   digest.Digest     `json:"config"`
	Platform string            `json:"platform"`
	Created  time.Time         `json:"created"` // of the image; zero when its config says nothing
	Size     int64             `json:"size"`    // bytes of the manifest, config and layer blobs
	Labels   map[string]string `json:"labels,omitempty"`
}

// List gives the names in the store, the newest image first and then by name. An image whose blobs are damaged is
// listed with its name and digest only.
func (m *Images) List(ctx context.Context) ([]Info, error) {
	ctx = m.store.Context(ctx)
	records, err := m.store.Images().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	list := make([]Info, 0, len(records))
	for _, record := range records {
		list = append(list, m.info(ctx, record))
	}
	slices.SortFunc(list, func(x, y Info) int {
		return cmp.Or(y.Created.Compare(x.Created), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Digest, y.Digest))
	})
	return list, nil
}

func (m *Images) info(ctx context.Context, record images.Image) Info {
	info := Info{Name: record.Name, Digest: record.Target.Digest}
	if image.IsUntagged(record.Name) {
		info.Name = ""
	}
	img, err := m.stored(ctx, record.Target)
	if err != nil {
		return info
	}
	info.Config, info.Labels = img.Config.Digest, img.Image.Config.Labels
	info.Platform = platforms.Format(img.Image.Platform)
	if img.Image.Created != nil {
		info.Created = *img.Image.Created
	}
	info.Size = img.Manifest.Size + img.Config.Size
	for _, layer := range img.Layers {
		info.Size += layer.Size
	}
	return info
}

// stored reads the image that target stands for: of an index the one in the store that fits this machine best.
func (m *Images) stored(ctx context.Context, target ocispec.Descriptor) (image.Image, error) {
	manifest, err := m.storedManifest(ctx, target)
	if err != nil {
		return image.Image{}, err
	}
	return image.Read(ctx, m.store.Content(), manifest)
}

// storedManifest gives the manifest of target that the store has: the best for this machine, else one for another. A pull
// brings in only one of an index.
func (m *Images) storedManifest(ctx context.Context, target ocispec.Descriptor) (ocispec.Descriptor, error) {
	return image.Manifest(ctx, m.store.Content(), target, image.Prefer(platforms.Default()), image.Options{Stored: true})
}
