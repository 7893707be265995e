package images

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// minPrefix is how many digits of a digest name an image at least.
const minPrefix = 4

// findOne gives a record of the image that ref names.
func (m *Images) findOne(ctx context.Context, ref string) (images.Image, error) {
	records, err := m.find(ctx, ref)
	if err != nil {
		return images.Image{}, err
	}
	return records[0], nil
}

// find gives the records that ref stands for, at least one: that of a name, or all names of the image with a digest.
// The digest is that of the manifest, the index or the config, and may be cut short where no other begins the same.
// A name goes before a digest. The error is "not found" when there is no such image.
func (m *Images) find(ctx context.Context, ref string) ([]images.Image, error) {
	records, err := m.store.Images().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	if found := byName(records, ref); len(found) > 0 {
		return found, nil
	}
	found, err := m.byDigest(ctx, records, ref)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no image %q in the store", ref))
	}
	return found, nil
}

// byName finds the record of a name. NAME@DIGEST also finds NAME:TAG when that is its digest.
func byName(records []images.Image, ref string) []images.Image {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil
	}
	full := named.String()
	if i := slices.IndexFunc(records, func(r images.Image) bool { return r.Name == full }); i >= 0 {
		return records[i : i+1]
	}
	digested, ok := named.(reference.Digested)
	if !ok {
		return nil
	}
	for i, record := range records {
		other, err := reference.ParseNormalizedNamed(record.Name)
		if err == nil && other.Name() == named.Name() && record.Target.Digest == digested.Digest() {
			return records[i : i+1]
		}
	}
	return nil
}

// byDigest finds the records of one image by digest or the beginning of one.
func (m *Images) byDigest(ctx context.Context, records []images.Image, ref string) ([]images.Image, error) {
	prefix := strings.TrimPrefix(ref, digest.SHA256.String()+":")
	if len(prefix) < minPrefix || strings.Trim(prefix, "0123456789abcdef") != "" {
		return nil, nil
	}
	found := slices.DeleteFunc(slices.Clone(records), func(r images.Image) bool {
		return !slices.ContainsFunc(m.digests(ctx, r), func(d digest.Digest) bool { return strings.HasPrefix(d.Encoded(), prefix) })
	})
	for _, record := range found {
		if record.Target.Digest != found[0].Target.Digest {
			return nil, fmt.Errorf("%q is the beginning of more than one image: %s and %s", ref, publicName(found[0]), publicName(record))
		}
	}
	return found, nil
}

// digests are those that name an image. One that cannot be read still has that of its record.
func (m *Images) digests(ctx context.Context, record images.Image) []digest.Digest {
	list := []digest.Digest{record.Target.Digest}
	if img, err := m.stored(ctx, record.Target); err == nil {
		list = append(list, img.Manifest.Digest, img.Config.Digest)
	}
	return list
}
