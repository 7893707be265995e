package build

import (
	"context"
	"fmt"
	"sync"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/diff/compress"
)

// push brings the image to one name at a registry: each layer as soon as it is whole, the rest and the name at the end.
type push struct {
	s           *session
	name        reference.Named
	compression compress.Compression
	early       bool // its layers need not wait for the end
	to          *remote.Pusher

	mu    sync.Mutex
	begun bool
	ended bool
}

// openPushes makes a push for each name at a registry. Of the names in one repository, the first has the layers sent early.
func (s *session) openPushes(ctx context.Context) error {
	for _, out := range s.outputs() {
		if out.Type != OutputRegistry {
			continue
		}
		names, err := s.names(out)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := s.openPush(ctx, name, s.compression(out)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) openPush(ctx context.Context, name string, c compress.Compression) (err error) {
	if s.pushTo(name, c) != nil {
		return nil
	}
	p := &push{s: s, compression: c, early: true}
	if p.name, err = remote.ParseReference(name); err != nil {
		return err
	}
	for _, other := range s.pushes {
		if other.compression == c && other.name.Name() == p.name.Name() {
			p.early = false
		}
	}
	p.to, err = s.remote.NewPusher(ctx, s.bases.Content(), p.name, p.progress)
	s.pushes = append(s.pushes, p)
	return err
}

// pushTo is the push of the image in a compression to a name; nil where there is none.
func (s *session) pushTo(name string, c compress.Compression) *push {
	for _, p := range s.pushes {
		if p.name.String() == name && p.compression == c {
			return p
		}
	}
	return nil
}

// pushSoon sends a layer to all registries that want it, while later steps run. At one registry it goes to one repository
// after the other, because the second can take it from the first.
func (s *session) pushSoon(ctx context.Context, c compress.Compression, layer ocispec.Descriptor) {
	registries := map[string][]*push{}
	for _, p := range s.pushes {
		if p.early && p.compression == c {
			host := reference.Domain(p.name)
			registries[host] = append(registries[host], p)
		}
	}
	for _, list := range registries {
		s.group.Go(func() error {
			for _, p := range list {
				if err := p.layer(ctx, layer); err != nil {
					return pushFailed(err)
				}
			}
			return nil
		})
	}
}

// pushFailed names the output that an error belongs to.
func pushFailed(err error) error { return fmt.Errorf("output type=%s: %w", OutputRegistry, err) }

// cancelPushes ends the pushes that a failed build has begun, for those who follow the events.
func (s *session) cancelPushes() {
	for _, p := range s.pushes {
		p.end(StateCanceled)
	}
}

// layer sends one layer.
func (p *push) layer(ctx context.Context, layer ocispec.Descriptor) error {
	p.begin()
	err := p.to.Blob(ctx, layer)
	if err == nil {
		err = remote.MarkSource(ctx, p.s.store.Content(), p.name, layer)
	}
	p.failed(ctx, err)
	return err
}

// finish sends what is left of the image and gives it its name.
func (p *push) finish(ctx context.Context, manifest ocispec.Descriptor) error {
	p.begin()
	err := p.to.Image(ctx, manifest)
	if err == nil {
		err = remote.MarkPushed(ctx, p.s.store.Content(), p.name, manifest)
	}
	p.failed(ctx, err)
	if err == nil {
		p.end(StateDone)
	}
	return err
}

func (p *push) progress(at remote.Progress) { p.s.events.Emit(progressEvent(EventPush, p.name, at)) }

// begin says once that the push has begun.
func (p *push) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun {
		p.begun = true
		p.s.events.Emit(Event{Type: EventPush, Name: p.name.String(), State: StateStarted})
	}
}

// failed ends the push where there is an error, unless that only says that the build has failed elsewhere.
func (p *push) failed(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		p.end(StateFailed)
	}
}

// end says once how a push that has begun came out.
func (p *push) end(state State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun && !p.ended {
		p.ended = true
		p.s.events.Emit(Event{Type: EventPush, Name: p.name.String(), State: state})
	}
}

// progressEvent is what the progress of a blob is to those who follow a build.
func progressEvent(kind EventType, name reference.Named, at remote.Progress) Event {
	return Event{
		Type: kind, Name: name.String(), Digest: string(at.Digest), State: State(at.State), Current: at.Current, Total: at.Total,
	}
}
