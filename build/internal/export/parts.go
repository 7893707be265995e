package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
)

const (
	maxManifest = 4 << 20 // bytes of an index, a manifest, or an index.json
	maxNesting  = 8       // indexes within each other
)

// parts returns all that roots consist of, each blob once, parents first. An index may name manifests that the store
// does not have whole, as it does when one platform of several was pulled; it must have one.
func parts(ctx context.Context, store content.Provider, roots ...ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	w := &walk{store: store, seen: map[digest.Digest]bool{}}
	for _, root := range roots {
		if !isManifest(root) {
			return nil, fmt.Errorf("%s is no image but %q", root.Digest, root.MediaType)
		}
		if err := w.visit(ctx, root, 0); err != nil {
			return nil, err
		}
	}
	return w.found, nil
}

func isManifest(desc ocispec.Descriptor) bool {
	return images.IsManifestType(desc.MediaType) || images.IsIndexType(desc.MediaType)
}

type walk struct {
	store content.Provider
	seen  map[digest.Digest]bool
	found []ocispec.Descriptor
}

func (w *walk) visit(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", desc.Digest, err)
	}
	if w.seen[desc.Digest] {
		return nil
	}
	if !isManifest(desc) {
		w.add(desc)
		return nil
	}
	if depth > maxNesting {
		return fmt.Errorf("manifest %s is too deep in other indexes", desc.Digest)
	}
	children, err := children(ctx, w.store, desc)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	w.add(desc)
	return w.visitAll(ctx, desc, children, depth+1)
}

// children are what a manifest or index refers to. The blob's own size counts, not what somebody says of it.
func children(ctx context.Context, store content.Provider, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := checkSmall(ctx, store, desc); err != nil {
		return nil, err
	}
	found, err := images.Children(ctx, store, desc)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fmt.Errorf("it is no JSON: %w", syntax)
	}
	return found, err
}

// checkSmall refuses a blob that is too large to be read whole.
func checkSmall(ctx context.Context, store content.Provider, desc ocispec.Descriptor) error {
	ra, err := store.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	if ra.Size() > maxManifest {
		err = fmt.Errorf("its %d bytes are more than the %d that are read", ra.Size(), maxManifest)
	}
	return errors.Join(err, ra.Close())
}

func (w *walk) add(desc ocispec.Descriptor) {
	w.seen[desc.Digest] = true
	w.found = append(w.found, desc)
}

func (w *walk) visitAll(ctx context.Context, parent ocispec.Descriptor, children []ocispec.Descriptor, depth int) error {
	absent := 0
	for _, child := range children {
		if isManifest(child) {
			ok, err := image.Stored(ctx, w.store, child)
			if err != nil {
				return fmt.Errorf("manifest %s: %w", child.Digest, err)
			}
			if !ok {
				absent++
				continue
			}
		}
		if err := w.visit(ctx, child, depth); err != nil {
			return err
		}
	}
	if absent > 0 && absent == len(children) {
		return fmt.Errorf("index %s: none of its manifests is there: %w", parent.Digest, errdefs.ErrNotFound)
	}
	return nil
}

// verifiedStore is a store that can tell, without reading a blob, that its bytes have the digest.
type verifiedStore interface {
	IsVerified(digest.Digest) bool
}

// copyBlob writes a blob and compares its size and digest on the way, the digest unless the store vouches for it.
func copyBlob(ctx context.Context, store content.Provider, w io.Writer, desc ocispec.Descriptor) (err error) {
	ra, err := store.ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	defer func() { err = errors.Join(err, ra.Close()) }()
	if ra.Size() != desc.Size {
		return fmt.Errorf("blob %s is damaged: it has %d bytes of %d", desc.Digest, ra.Size(), desc.Size)
	}
	hash := desc.Digest.Algorithm().Digester()
	s, ok := store.(verifiedStore)
	verified := ok && s.IsVerified(desc.Digest)
	if !verified {
		w = io.MultiWriter(w, hash.Hash())
	}
	from := &cancelable{ctx: ctx, r: io.NewSectionReader(ra, 0, desc.Size)}
	if _, err := io.CopyBuffer(w, from, make([]byte, copyBuffer)); err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	if got := hash.Digest(); !verified && got != desc.Digest {
		return fmt.Errorf("blob %s is damaged: its bytes have the digest %s", desc.Digest, got)
	}
	return nil
}

const copyBuffer = 1 << 20 // bytes

// cancelable ends with the context. It lives for one copy.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelable) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
