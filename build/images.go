package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/remote"
)

// ImageInfo is one name in the image store.
type ImageInfo struct {
	Name     string            `json:"name"`   // full reference; "" for an image without one
	Digest   digest.Digest     `json:"digest"` // what the name stands for: a manifest or an index
	Config   digest.Digest     `json:"config"`
	Platform string            `json:"platform"`
	Created  time.Time         `json:"created"` // of the image; zero when its config says nothing
	Size     int64             `json:"size"`    // bytes of the manifest, config and layer blobs
	Labels   map[string]string `json:"labels,omitempty"`
}

// Images lists the names in the store, the newest image first and then by name. An image whose blobs are damaged is
// listed with its name and digest only.
func (b *Builder) Images(ctx context.Context) ([]ImageInfo, error) {
	ctx = b.store.Context(ctx)
	records, err := b.store.Images().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	list := make([]ImageInfo, 0, len(records))
	for _, record := range records {
		list = append(list, b.info(ctx, record))
	}
	slices.SortFunc(list, func(x, y ImageInfo) int {
		return cmp.Or(y.Created.Compare(x.Created), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Digest, y.Digest))
	})
	return list, nil
}

func (b *Builder) info(ctx context.Context, record images.Image) ImageInfo {
	info := ImageInfo{Name: record.Name, Digest: record.Target.Digest}
	if isUntagged(record.Name) {
		info.Name = ""
	}
	img, err := b.stored(ctx, record.Target)
	if err != nil {
		return info
	}
	info.Config, info.Labels = img.config.Digest, img.image.Config.Labels
	info.Platform = platforms.Format(img.image.Platform)
	if img.image.Created != nil {
		info.Created = *img.image.Created
	}
	info.Size = img.manifest.Size + img.config.Size
	for _, layer := range img.layers {
		info.Size += layer.Size
	}
	return info
}

// storedImage is an image of the store, for one platform.
type storedImage struct {
	manifest, config ocispec.Descriptor
	image            dockerspec.DockerOCIImage
	layers           []ocispec.Descriptor // bottom to top
}

// stored reads the image that target stands for.
func (b *Builder) stored(ctx context.Context, target ocispec.Descriptor) (storedImage, error) {
	desc, err := b.localManifest(ctx, target)
	if err != nil {
		return storedImage{}, err
	}
	var manifest ocispec.Manifest
	if err := readJSON(ctx, b.store.Content(), desc, &manifest); err != nil {
		return storedImage{}, err
	}
	img := storedImage{manifest: desc, config: manifest.Config, layers: manifest.Layers}
	if err := readJSON(ctx, b.store.Content(), manifest.Config, &img.image); err != nil {
		return storedImage{}, err
	}
	if len(img.layers) != len(img.image.RootFS.DiffIDs) {
		return storedImage{}, fmt.Errorf("%s and its config disagree on the number of layers: %d and %d", desc.Digest, len(img.layers), len(img.image.RootFS.DiffIDs))
	}
	return img, nil
}

// localManifest gives the manifest of target that the store has: the best for this machine, else the first of any
// platform. A pull brings in only one of an index.
func (b *Builder) localManifest(ctx context.Context, target ocispec.Descriptor) (ocispec.Descriptor, error) {
	for range maxNesting {
		if !images.IsIndexType(target.MediaType) {
			return target, nil
		}
		entries, err := images.Children(ctx, b.store.Content(), target)
		if err != nil {
			return target, fmt.Errorf("read index %s: %w", target.Digest, err)
		}
		here, err := b.present(ctx, entries)
		if err != nil {
			return target, err
		}
		if len(here) == 0 {
			return target, fmt.Errorf("index %s: none of its manifests is in the store: %w", target.Digest, errdefs.ErrNotFound)
		}
		target = bestFit(here)
	}
	return target, nestedTooDeep(target)
}

// maxNesting is how many indexes may be within each other.
const maxNesting = 4

func nestedTooDeep(index ocispec.Descriptor) error {
	return fmt.Errorf("index %s: more than %d indexes within each other", index.Digest, maxNesting)
}

// present leaves out the manifests that the store lacks, and what is no image.
func (b *Builder) present(ctx context.Context, entries []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var here []ocispec.Descriptor
	for _, entry := range entries {
		if entry.Platform != nil && entry.Platform.OS == "unknown" {
			continue // attestations
		}
		_, err := b.store.Content().Info(ctx, entry.Digest)
		switch {
		case err == nil:
			here = append(here, entry)
		case !errdefs.IsNotFound(err):
			return nil, err
		}
	}
	return here, nil
}

func bestFit(entries []ocispec.Descriptor) ocispec.Descriptor {
	machine := platforms.Default()
	slices.SortStableFunc(entries, func(x, y ocispec.Descriptor) int {
		switch px, py := platformOf(x), platformOf(y); {
		case machine.Less(px, py):
			return -1
		case machine.Less(py, px):
			return 1
		}
		return 0
	})
	return entries[0]
}

func platformOf(desc ocispec.Descriptor) ocispec.Platform {
	if desc.Platform == nil {
		return ocispec.Platform{}
	}
	return *desc.Platform
}

// Tag gives the image that source names one more name, which another image loses if it had it.
func (b *Builder) Tag(ctx context.Context, source, target string) error {
	name, err := newName(target)
	if err != nil {
		return err
	}
	// Under a lease the image stays until it has the name, also when it loses its last other one meanwhile.
	return b.withLease(ctx, func(ctx context.Context) error {
		record, err := b.findOne(ctx, source)
		if err != nil {
			return err
		}
		return b.putImage(ctx, name, record.Target)
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
func (b *Builder) Remove(ctx context.Context, refs []string) (removed []string, err error) {
	ctx = b.store.Context(ctx)
	var errs []error
	for _, ref := range refs {
		records, err := b.find(ctx, ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, record := range records {
			if err := b.store.Images().Delete(ctx, record.Name); err != nil && !errdefs.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("remove %s: %w", record.Name, err))
				continue
			}
			removed = append(removed, publicName(record))
		}
	}
	if len(removed) > 0 {
		errs = append(errs, b.store.Collect(ctx))
	}
	return removed, errors.Join(errs...)
}

// publicName is the name of a record, or its digest when it has no name.
func publicName(record images.Image) string {
	if isUntagged(record.Name) {
		return record.Target.Digest.String()
	}
	return record.Name
}
