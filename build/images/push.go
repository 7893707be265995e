package images

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/remote"
)

// Push sends the image with this name to the registry that the name begins with. events may be nil. Of an index whose
// images are not all here, only the one for this machine is sent. It returns what was pushed.
func (m *Images) Push(ctx context.Context, name string, events func(event.Event)) (ocispec.Descriptor, error) {
	named, err := remote.ParseReference(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	to := event.Emitter{Sink: events}
	var sent ocispec.Descriptor
	err = m.withLease(ctx, func(ctx context.Context) error {
		record, err := m.store.Images().Get(ctx, named.String())
		if errdefs.IsNotFound(err) {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no image %q in the store", name))
		}
		if err != nil {
			return err
		}
		if sent, err = m.whole(ctx, record.Target); err != nil {
			return err
		}
		return transfer(&to, event.Push, named.String(), func() error { return m.push(ctx, named, sent, to.Emit) })
	})
	return sent, err
}

// push sends target to a registry, and tells events how far each blob is.
func (m *Images) push(ctx context.Context, to reference.Named, target ocispec.Descriptor, events func(event.Event)) error {
	err := m.remote.Push(ctx, m.store.Content(), target, to, func(at remote.Progress) {
		events(progressEvent(event.Push, to.String(), at))
	})
	if err != nil {
		return err
	}
	return remote.MarkPushed(ctx, m.store.Content(), to, target)
}

// whole is target itself, or for an index that lacks some of its images, the manifest of the one that fits best.
func (m *Images) whole(ctx context.Context, target ocispec.Descriptor) (ocispec.Descriptor, error) {
	complete, err := image.Complete(ctx, m.store.Content(), target)
	if err != nil || complete {
		return target, err
	}
	return m.storedManifest(ctx, target)
}
