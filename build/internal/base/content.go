package base

import (
	"context"
	"net/url"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Content is the store of blobs with the layers of the images that were found: one that is not here is fetched when it is
// read, and not before, so that a registry which has it, or can take it from another of its repositories, is sent nothing.
func (f *Finder) Content() content.InfoReaderProvider { return lazyContent{f.Store.Content(), f} }

type lazyContent struct {
	content.Store
	finder *Finder
}

// Info says of a layer that is not here where it is from.
func (l lazyContent) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	info, err := l.Store.Info(ctx, d)
	layer, ok := l.finder.layer(d)
	if !errdefs.IsNotFound(err) || !ok {
		return info, err
	}
	info = content.Info{Digest: d, Size: layer.desc.Size}
	if named, err := reference.ParseNormalizedNamed(layer.image.Name); err == nil {
		info.Labels = sourceLabel(named)
	}
	return info, nil
}

// sourceLabel is what containerd's pusher looks for to mount a blob: the repository, by its host without the port.
func sourceLabel(named reference.Named) map[string]string {
	u, err := url.Parse("registry://" + reference.Domain(named))
	if err != nil {
		return nil
	}
	return map[string]string{labels.LabelDistributionSource + "." + u.Hostname(): reference.Path(named)}
}

// ReaderAt fetches a layer that is not here.
func (l lazyContent) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if layer, ok := l.finder.layer(desc.Digest); ok {
		if err := layer.image.Layer(ctx, layer.desc); err != nil {
			return nil, err
		}
	}
	return l.Store.ReaderAt(ctx, desc)
}

// foundLayer is a layer of an image that was found.
type foundLayer struct {
	image *Image
	desc  ocispec.Descriptor
}

func (f *Finder) layer(d digest.Digest) (foundLayer, bool) {
	l, ok := f.layers.Load(d)
	if !ok {
		return foundLayer{}, false
	}
	return l.(foundLayer), true
}
