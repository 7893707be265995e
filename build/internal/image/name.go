package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/snapshot"
)

// untaggedPrefix is before the digest in the names of images that were built or loaded without a name.
const untaggedPrefix = "lbuild.local/untagged@"

// UntaggedName is the name in the image store of an image without one.
func UntaggedName(target digest.Digest) string { return untaggedPrefix + string(target) }

// IsUntagged says whether UntaggedName made name.
func IsUntagged(name string) bool { return strings.HasPrefix(name, untaggedPrefix) }

// ReferenceKey is the key of the record of what a registry said of a name.
func ReferenceKey(name string) string { return "reference/" + name }

// RemoveName takes a name out of the image store, and forgets what a registry said of it: that would stand for the name
// otherwise, and keep all of the image.
func RemoveName(ctx context.Context, store *snapshot.Store, name string) error {
	if err := store.DeleteRecord(ctx, ReferenceKey(name)); err != nil {
		return err
	}
	return store.Images().Delete(ctx, name)
}

// SetName makes name stand for target in the image store, whatever it stood for before.
func SetName(ctx context.Context, store images.Store, name string, target ocispec.Descriptor) error {
	img := images.Image{Name: name, Target: target}
	_, err := store.Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		_, err = store.Update(ctx, img, "target")
	}
	if err != nil {
		return fmt.Errorf("name the image %s: %w", name, err)
	}
	return nil
}
