package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// untaggedPrefix is before the digest in the names of images that were built or loaded without a name.
const untaggedPrefix = "lbuild.local/untagged@"

// UntaggedName is the name in the image store of an image without one.
func UntaggedName(target digest.Digest) string { return untaggedPrefix + string(target) }

// IsUntagged says whether UntaggedName made name.
func IsUntagged(name string) bool { return strings.HasPrefix(name, untaggedPrefix) }

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
