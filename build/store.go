package build

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/remote"
)

// untaggedPrefix is before the digest in the names of images that were built without a tag.
const untaggedPrefix = "lbuild.local/untagged@"

// untagged is the name in the image store of an image without a tag.
func untagged(dgst digest.Digest) string { return untaggedPrefix + string(dgst) }

// isUntagged tells whether name was made by untagged.
func isUntagged(name string) bool { return strings.HasPrefix(name, untaggedPrefix) }

// putImage makes name stand for target in the image store, whatever it stood for before.
func (b *Builder) putImage(ctx context.Context, name string, target ocispec.Descriptor) error {
	img := images.Image{Name: name, Target: target}
	_, err := b.store.Images().Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		_, err = b.store.Images().Update(ctx, img, "target")
	}
	if err != nil {
		return fmt.Errorf("name the image %s: %w", name, err)
	}
	return nil
}

// push sends target to the registry of name and tells events how far each blob is.
func (b *Builder) push(ctx context.Context, name string, target ocispec.Descriptor, events func(Event)) error {
	named, err := remote.ParseReference(name)
	if err != nil {
		return err
	}
	err = b.remote.Push(ctx, b.store.Content(), target, named, func(at remote.Progress) { events(pushEvent(named, at)) })
	if err != nil {
		return err
	}
	return b.markPushed(ctx, named, target)
}

// markPushed remembers which repository has the parts of an image, so that the next push to another repository of the
// same registry mounts them.
func (b *Builder) markPushed(ctx context.Context, to reference.Named, target ocispec.Descriptor) error {
	var parts []ocispec.Descriptor
	collect := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		parts = append(parts, desc)
		return images.Children(ctx, b.store.Content(), desc)
	})
	if err := images.Walk(ctx, collect, target); err != nil {
		return fmt.Errorf("parts of %s: %w", to, err)
	}
	return remote.MarkSource(ctx, b.store.Content(), to, parts...)
}

// platformName is the platform of a stage, for its keys.
func (st *stage) platformName() string { return platforms.FormatAll(st.image.Platform) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
