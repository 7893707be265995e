package remote

import (
	"context"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const uploads = 4 // blobs on their way at once

// State is where the upload of a blob stands.
type State string

// A blob that the registry has, or that it can take from another of its repositories, goes straight to StateExists.
// Others start, may start again when a try fails, and are done.
const (
	StateStarted State = "started"
	StateDone    State = "done"
	StateExists  State = "exists"
)

// Progress is how far one blob or manifest is.
type Progress struct {
	Digest  digest.Digest
	State   State
	Current int64 // bytes sent
	Total   int64 // bytes
}

// Push brings an image to a registry under ref: blobs first, several at once, then manifests and at last what desc
// stands for, so that ref never names something incomplete. Blobs that the registry has are not sent. progress may be
// nil; it is never called twice at the same time.
func (c *Client) Push(ctx context.Context, store content.InfoReaderProvider, desc ocispec.Descriptor, ref reference.Named, progress func(Progress)) error {
	// containerd puts the tag only on the manifest whose digest stands behind it.
	target := ref.String()
	if _, ok := ref.(reference.Digested); !ok {
		target += "@" + desc.Digest.String()
	}
	base, err := c.resolver().Pusher(c.context(ctx), target)
	if err != nil {
		return c.explain(ctx, "push", ref, err)
	}
	p := &pusher{client: c, store: store, base: base, progress: progress}
	return c.explain(ctx, "push", ref, p.push(c.context(ctx), desc))
}

// pusher brings one image to one repository.
type pusher struct {
	client   *Client
	store    content.InfoReaderProvider
	base     remotes.Pusher
	mu       sync.Mutex // held while progress runs
	progress func(Progress)
}

func (p *pusher) push(ctx context.Context, root ocispec.Descriptor) error {
	manifests, blobs, err := p.parts(ctx, root)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, blob := range blobs {
		group.Go(func() error { return p.pushPart(groupCtx, blob) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, manifest := range manifests {
		if err := p.pushPart(ctx, manifest); err != nil {
			return err
		}
	}
	return nil
}

// parts returns each part of an image once: manifests with children before parents, and the other blobs.
func (p *pusher) parts(ctx context.Context, root ocispec.Descriptor) (manifests, blobs []ocispec.Descriptor, err error) {
	seen := map[digest.Digest]bool{}
	var visit func(ocispec.Descriptor) error
	visit = func(desc ocispec.Descriptor) error {
		if seen[desc.Digest] {
			return nil
		}
		seen[desc.Digest] = true
		if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
			blobs = append(blobs, desc)
			return nil
		}
		children, err := images.Children(ctx, p.store, desc)
		if err != nil {
			return &storeError{desc.Digest, err}
		}
		for _, child := range children {
			if err := visit(child); err != nil {
				return err
			}
		}
		manifests = append(manifests, desc)
		return nil
	}
	return manifests, blobs, visit(root)
}
