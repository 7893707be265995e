// Package images does what the commands beside build do with images in a store: list, tag, remove, pull, push, load,
// save, history, inspect and prune. It prints nothing.
//
// Where a method takes a reference to an image in the store, that is a name, as docker completes it, or at least four
// digits of the digest of a manifest, an index or a config.
package images

import (
	"context"
	"errors"

	"github.com/lbuild/lbuild/build/internal/cache"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/snapshot"
)

// Options says how registries are spoken to. The zero value is right for most.
type Options struct {
	InsecureRegistries []string // hosts that may be spoken to in plain http
	Version            string   // for the User-Agent; "": dev
}

// Images are those of one store. They may be used from several goroutines, and several processes may use the store.
type Images struct {
	store  *snapshot.Store
	remote *remote.Client
	cache  *cache.Cache
}

// New gives the images of a store, which the caller closes after their last use.
func New(store *snapshot.Store, opts Options) (*Images, error) {
	client, err := remote.New(remote.Options{Insecure: opts.InsecureRegistries, Version: opts.Version})
	if err != nil {
		return nil, err
	}
	return &Images{store: store, remote: client, cache: cache.New(store)}, nil
}

// withLease runs fn under a lease of its own. After an error, what fn brought into the store and nothing names is removed.
func (m *Images) withLease(ctx context.Context, fn func(context.Context) error) (err error) {
	lease, err := m.store.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, lease.Release()); err != nil {
			err = errors.Join(err, m.store.Collect(context.WithoutCancel(ctx)))
		}
	}()
	return fn(lease.Context(ctx))
}
