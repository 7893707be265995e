// Package base finds the images that stages start from and COPY reads: in named contexts, in the image store or at a
// registry. What describes an image is read at once; its layers come when somebody asks for them.
package base

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/once"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/snapshot"
)

// Image is an image for one platform. It may be used from several goroutines.
type Image struct {
	Name     string             // full reference; "" for images that came from a file
	Target   ocispec.Descriptor // what the name stands for: an index or a manifest
	Manifest ocispec.Descriptor
	Config   dockerspec.DockerOCIImage
	Layers   []ocispec.Descriptor // from the lowest

	finder  *Finder
	label   string // what events call it
	store   *snapshot.Store
	events  *event.Emitter
	fetcher remotes.Fetcher // of layers that the store lacks; nil: it has all
	pulled  reference.Named // set where the answer of a registry is new to the image store

	fetched  once.Value[bool]
	proven   once.Value[bool]
	unpacked once.Value[string]
	ended    sync.Once // the events of the pull
}

// read loads the config and the list of layers.
func (i *Image) read(ctx context.Context, f *Finder, ref string) error {
	img, err := image.Read(ctx, f.Store.Content(), i.Manifest)
	if err != nil {
		return err
	}
	i.Config, i.Layers, i.store, i.events = img.Image, img.Layers, f.Store, f.Events
	i.finder, i.label = f, cmp.Or(i.Name, ref)
	for _, desc := range i.Layers {
		f.layers.Store(desc.Digest, foundLayer{i, desc})
	}
	return nil
}

// Fetch brings all blobs of the image into the store. An image that was pulled has its name in the image store from then
// on: no sooner, so that a name never stands for half an image.
func (i *Image) Fetch(ctx context.Context) error {
	_, err := i.fetched.Get(func() (bool, error) {
		err := remote.Cause(i.store.Fetch(ctx, i.Manifest, i.fetcher))
		return err == nil, i.named(ctx, err)
	})
	return err
}

// Prove fetches the image and fails unless its layers hold what its config says of them: until then that is a claim.
func (i *Image) Prove(ctx context.Context) error {
	if err := i.Fetch(ctx); err != nil {
		return err
	}
	_, err := i.proven.Get(func() (bool, error) {
		err := i.store.CheckDiffIDs(ctx, i.Manifest)
		return err == nil, err
	})
	return err
}

// Unpack gives the snapshot of the image's tree, "" for one without layers, whose layers are fetched for that and proven.
func (i *Image) Unpack(ctx context.Context) (string, error) {
	return i.unpacked.Get(func() (string, error) {
		running := unpacking{image: i, layers: map[digest.Digest]event.Event{}}
		name, err := i.store.Unpack(ctx, i.Manifest, i.fetcher, snapshot.UnpackOptions{Progress: running.progress})
		running.end(event.Outcome(ctx, err))
		return name, i.named(ctx, remote.Cause(err))
	})
}

// unpacking are the layers that are being unpacked, as their last events say.
type unpacking struct {
	image  *Image
	layers map[digest.Digest]event.Event
}

// progress tells how far a layer is.
func (u *unpacking) progress(layer digest.Digest, current, total int64, done bool) {
	ev := event.Event{Type: event.Unpack, Name: u.image.label, Digest: string(layer), Current: current, Total: total, State: event.Started}
	u.layers[layer] = ev
	if done {
		ev.State = event.Done
		delete(u.layers, layer)
	}
	u.image.events.Emit(ev)
}

// end tells of the layers that nobody will finish.
func (u *unpacking) end(state event.State) {
	for _, layer := range slices.Sorted(maps.Keys(u.layers)) {
		ev := u.layers[layer]
		ev.State = state
		u.image.events.Emit(ev)
	}
}

// named gives an image that was pulled its name, and all others that were pulled of the same manifest, unless err says that
// it is not whole.
func (i *Image) named(ctx context.Context, err error) error {
	for _, other := range i.finder.pulledLike(i) {
		if err == nil {
			err = remote.MarkSource(ctx, i.store.Content(), other.pulled, i.Layers...)
		}
		if err == nil {
			err = image.SetName(ctx, i.store.Images(), other.Name, other.Target)
		}
		other.endPull(event.Outcome(ctx, err))
	}
	return err
}

// endPull ends the events of a pull once.
func (i *Image) endPull(state event.State) {
	if i.pulled == nil {
		return
	}
	i.ended.Do(func() { i.events.Emit(event.Event{Type: event.Pull, Name: i.pulled.String(), State: state}) })
}

// Layer brings one layer's blob into the store, unless it is there.
func (i *Image) Layer(ctx context.Context, desc ocispec.Descriptor) error {
	err := i.store.VerifyBlob(ctx, desc)
	if err == nil || !errdefs.IsNotFound(err) && !errdefs.IsDataLoss(err) {
		return err
	}
	if i.fetcher == nil {
		return fmt.Errorf("layer %s of %s: %w", desc.Digest, i.label, err)
	}
	return remote.Cause(i.store.FetchBlob(ctx, desc, i.fetcher))
}

// Annotations say what is built on the image, by the names of image-spec's annotations page.
func (i *Image) Annotations() map[string]string {
	if i == nil || i.Name == "" {
		return nil
	}
	return map[string]string{
		ocispec.AnnotationBaseImageName:   i.Name,
		ocispec.AnnotationBaseImageDigest: string(i.Target.Digest),
	}
}
