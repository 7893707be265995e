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

const uploads = 4 // blobs of a Client on their way at once

// State is where the upload of a blob stands.
type State string

// A blob that the registry has, or that it can take from another of its repositories, goes straight to StateExists.
// Others start, may start again when a try fails, and are done.
const (
	StateStarted State = "started"
	StateDone    State = "done"
	StateExists  State = "exists"
)

// Progress is how far a blob or manifest is on its way to or from a registry.
type Progress struct {
	Digest  digest.Digest
	State   State
	Current int64 // bytes
	Total   int64 // bytes
}

// Push brings an image to a registry under ref: blobs first, several at once, then manifests and at last what desc
// stands for, so that ref never names something incomplete. Blobs that the registry has are not sent. progress may be
// nil; it is never called twice at the same time.
func (c *Client) Push(ctx context.Context, store content.InfoReaderProvider, desc ocispec.Descriptor, ref reference.Named, progress func(Progress)) error {
	p, err := c.NewPusher(ctx, store, ref, progress)
	if err != nil {
		return err
	}
	return p.Image(ctx, desc)
}

// Pusher brings an image to one reference, in parts: blobs as soon as there are any, and the rest at the end. Each blob
// is sent once. A Pusher is safe for use by several goroutines and holds nothing that has to be given back.
type Pusher struct {
	client *Client
	ref    reference.Named
	store  content.InfoReaderProvider
	base   remotes.Pusher // of blobs

	mu   sync.Mutex
	sent map[digest.Digest]func() error

	reporting sync.Mutex // held while progress runs
	progress  func(Progress)
}

// NewPusher makes a Pusher for ref, without asking the registry anything. progress may be nil; it is never called twice
// at the same time.
func (c *Client) NewPusher(ctx context.Context, store content.InfoReaderProvider, ref reference.Named, progress func(Progress)) (*Pusher, error) {
	p := &Pusher{client: c, ref: ref, store: store, progress: progress, sent: map[digest.Digest]func() error{}}
	var err error
	p.base, err = c.resolver().Pusher(c.context(ctx), ref.String())
	return p, p.explain(ctx, err)
}

// Blob sends a blob of the store, unless the registry has it. A second call for a blob waits for the first and gets its
// result.
func (p *Pusher) Blob(ctx context.Context, desc ocispec.Descriptor) error {
	p.mu.Lock()
	send, ok := p.sent[desc.Digest]
	if !ok {
		send = sync.OnceValue(func() error { return p.upload(p.client.context(ctx), p.base, desc) })
		p.sent[desc.Digest] = send
	}
	p.mu.Unlock()
	return p.explain(ctx, send())
}

// Image sends what Blob has not sent of an image, then its manifests, and gives it the reference at last.
func (p *Pusher) Image(ctx context.Context, root ocispec.Descriptor) error {
	manifests, blobs, err := p.parts(ctx, root)
	if err != nil {
		return p.explain(ctx, err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for _, blob := range blobs {
		group.Go(func() error { return p.Blob(groupCtx, blob) })
	}
	if err := group.Wait(); err != nil {
		return p.explain(ctx, err)
	}
	return p.explain(ctx, p.manifests(p.client.context(ctx), root, manifests))
}

// manifests sends the manifests one after the other.
func (p *Pusher) manifests(ctx context.Context, root ocispec.Descriptor, list []ocispec.Descriptor) error {
	// containerd puts the tag only on the manifest whose digest stands behind it.
	target := p.ref.String()
	if _, ok := p.ref.(reference.Digested); !ok {
		target += "@" + root.Digest.String()
	}
	base, err := p.client.resolver().Pusher(ctx, target)
	if err != nil {
		return err
	}
	for _, manifest := range list {
		if err := p.upload(ctx, base, manifest); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pusher) explain(ctx context.Context, err error) error {
	return p.client.explain(ctx, "push", p.ref, err)
}

// parts returns each part of an image once: manifests with children before parents, and the other blobs.
func (p *Pusher) parts(ctx context.Context, root ocispec.Descriptor) (manifests, blobs []ocispec.Descriptor, err error) {
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
