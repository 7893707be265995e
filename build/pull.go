package build

import (
	"context"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/remote"
)

// pull is one call of Pull.
type pull struct {
	*Builder
	name     string
	ref      reference.Named
	platform ocispec.Platform
	events   emitter
	image    remote.Image
}

func (p *pull) run(ctx context.Context) error {
	return p.events.transfer(EventPull, p.name, func() error {
		var err error
		if p.image, err = p.remote.PullManifest(ctx, p.store.Content(), p.ref, platforms.Only(p.platform)); err != nil {
			return err
		}
		fetcher, err := p.remote.Fetcher(ctx, p.ref)
		if err != nil {
			return err
		}
		if err := p.tellPresent(ctx); err != nil {
			return err
		}
		if _, err := p.store.Unpack(ctx, p.image.Manifest, nil, reportingFetcher(fetcher, p.name, p.events.emit)); err != nil {
			return registryError(err)
		}
		if err := remote.MarkSource(ctx, p.store.Content(), p.ref, p.image.Layers...); err != nil {
			return err
		}
		return p.putImage(ctx, p.name, p.image.Target)
	})
}

// tellPresent sends an event for each layer that needs no fetching.
func (p *pull) tellPresent(ctx context.Context) error {
	for _, layer := range p.image.Layers {
		_, err := p.store.Content().Info(ctx, layer.Digest)
		switch {
		case err == nil:
			p.events.emit(Event{Type: EventPull, Name: p.name, Digest: layer.Digest.String(), State: StateExists, Total: layer.Size})
		case !errdefs.IsNotFound(err):
			return err
		}
	}
	return nil
}

// reportInterval is how often a transfer tells how far it is.
const reportInterval = 200 * time.Millisecond

// reportingFetcher sends events about what is fetched through it for the image name.
func reportingFetcher(from remotes.Fetcher, name string, emit func(Event)) remotes.Fetcher {
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		body, err := from.Fetch(ctx, desc)
		if err != nil {
			return nil, err
		}
		about := Event{Type: EventPull, Name: name, Digest: desc.Digest.String(), State: StateStarted, Total: desc.Size}
		emit(about)
		return &reportingBody{ReadCloser: body, about: about, emit: emit, last: time.Now()}, nil
	})
}

// reportingBody counts the bytes that are read from it.
type reportingBody struct {
	io.ReadCloser
	about Event // Current is the bytes so far
	emit  func(Event)
	last  time.Time // when something was sent
}

func (r *reportingBody) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.about.Current += int64(n)
	switch now := time.Now(); {
	case r.about.State == StateDone:
	case err == io.EOF || r.about.Current == r.about.Total:
		r.about.State = StateDone
		r.emit(r.about)
	case n > 0 && now.Sub(r.last) >= reportInterval:
		r.last = now
		r.emit(r.about)
	}
	return n, err
}

// Seek goes on at an offset, where the store has the part before it already. Bodies from registries can do so.
func (r *reportingBody) Seek(offset int64, whence int) (int64, error) {
	at, err := r.ReadCloser.(io.Seeker).Seek(offset, whence)
	if err == nil {
		r.about.Current = at
	}
	return at, err
}
