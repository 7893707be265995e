package snapshot

import (
	"context"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
)

// imageNames is containerd's image store. What loses its name is kept for the builds that run.
type imageNames struct {
	images.Store
	store *Store
}

func (n *imageNames) Get(ctx context.Context, name string) (images.Image, error) {
	return n.Store.Get(n.store.Context(ctx), name)
}

func (n *imageNames) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	return n.Store.List(n.store.Context(ctx), filters...)
}

func (n *imageNames) Create(ctx context.Context, image images.Image) (images.Image, error) {
	return n.Store.Create(n.store.Context(ctx), image)
}

func (n *imageNames) Update(ctx context.Context, image images.Image, fields ...string) (updated images.Image, err error) {
	err = n.store.transact(n.store.Context(ctx), func(ctx context.Context, _ *bolt.Tx) (err error) {
		if err = n.retain(ctx, image.Name); err != nil {
			return err
		}
		updated, err = n.Store.Update(ctx, image, fields...)
		return err
	})
	return updated, err
}

func (n *imageNames) Delete(ctx context.Context, name string, opts ...images.DeleteOpt) error {
	return n.store.transact(n.store.Context(ctx), func(ctx context.Context, _ *bolt.Tx) error {
		if err := n.retain(ctx, name); err != nil {
			return err
		}
		return n.Store.Delete(ctx, name, opts...)
	})
}

func (n *imageNames) retain(ctx context.Context, name string) error {
	image, err := n.Store.Get(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return n.store.addToAllLeases(ctx, resources("", []digest.Digest{image.Target.Digest}))
}
