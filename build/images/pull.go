package images

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/snapshot"
)

// Pull gets an image for one platform from its registry, unpacks it and then gives it its name. A nil platform is this
// machine's; events may be nil. It returns the manifest.
func (m *Images) Pull(ctx context.Context, ref string, platform *ocispec.Platform, events func(event.Event)) (ocispec.Descriptor, error) {
	p := &pull{Images: m, platform: platforms.DefaultSpec(), events: event.Emitter{Sink: events}}
	if platform != nil {
		p.platform = platforms.Normalize(*platform)
	}
	named, err := remote.ParseReference(ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	p.name, p.ref = named.String(), named
	err = m.withLease(ctx, p.run)
	return p.pulled.Manifest, err
}

// pull is one call of Pull.
type pull struct {
	*Images
	name     string
	ref      reference.Named
	platform ocispec.Platform
	events   event.Emitter
	pulled   remote.Image
}

func (p *pull) run(ctx context.Context) error {
	return transfer(&p.events, event.Pull, p.name, func() error {
		var err error
		if p.pulled, err = p.remote.PullManifest(ctx, p.store.Content(), p.ref, platforms.Only(p.platform)); err != nil {
			return err
		}
		fetcher, err := p.remote.Fetcher(ctx, p.ref)
		if err != nil {
			return err
		}
		if err := p.tellPresent(ctx); err != nil {
			return err
		}
		if _, err := p.store.Unpack(ctx, p.pulled.Manifest, remote.ReportingFetcher(fetcher, p.progress), snapshot.UnpackOptions{}); err != nil {
			return remote.Cause(err)
		}
		if err := remote.MarkSource(ctx, p.store.Content(), p.ref, p.pulled.Layers...); err != nil {
			return err
		}
		return image.SetName(ctx, p.store.Images(), p.name, p.pulled.Target)
	})
}

// tellPresent sends an event for each layer that needs no fetching.
func (p *pull) tellPresent(ctx context.Context) error {
	for _, layer := range p.pulled.Layers {
		_, err := p.store.Content().Info(ctx, layer.Digest)
		switch {
		case err == nil:
			p.progress(remote.Progress{Digest: layer.Digest, State: remote.StateExists, Total: layer.Size})
		case !errdefs.IsNotFound(err):
			return err
		}
	}
	return nil
}

func (p *pull) progress(at remote.Progress) { p.events.Emit(progressEvent(event.Pull, p.name, at)) }
