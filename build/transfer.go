package build

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/export"
	"github.com/lbuild/lbuild/build/internal/remote"
)

// withLease runs fn under a lease of its own. After an error, what fn brought into the store and nothing names is removed.
func (b *Builder) withLease(ctx context.Context, fn func(context.Context) error) (err error) {
	lease, err := b.store.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, lease.Release()); err != nil {
			err = errors.Join(err, b.store.Collect(context.WithoutCancel(ctx)))
		}
	}()
	return fn(lease.Context(ctx))
}

// Pull gets an image for one platform from its registry, unpacks it and then gives it its name. A nil platform is this
// machine's; events may be nil. It returns the manifest.
func (b *Builder) Pull(ctx context.Context, ref string, platform *ocispec.Platform, events func(Event)) (ocispec.Descriptor, error) {
	p := &pull{Builder: b, platform: platforms.DefaultSpec(), events: emitter{sink: events}}
	if platform != nil {
		p.platform = platforms.Normalize(*platform)
	}
	named, err := remote.ParseReference(ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	p.name, p.ref = named.String(), named
	err = b.withLease(ctx, p.run)
	return p.image.Manifest, err
}

// Push sends the image with this name to the registry that the name begins with. events may be nil. Of an index whose
// images are not all here, only the one for this machine is sent. It returns what was pushed.
func (b *Builder) Push(ctx context.Context, name string, events func(Event)) (ocispec.Descriptor, error) {
	named, err := remote.ParseReference(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	to := emitter{sink: events}
	var sent ocispec.Descriptor
	err = b.withLease(ctx, func(ctx context.Context) error {
		record, err := b.store.Images().Get(ctx, named.String())
		if errdefs.IsNotFound(err) {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no image %q in the store", name))
		}
		if err != nil {
			return err
		}
		if sent, err = b.whole(ctx, record.Target); err != nil {
			return err
		}
		return to.transfer(EventPush, named.String(), func() error { return b.push(ctx, named.String(), sent, to.emit) })
	})
	return sent, err
}

// transfer sends the events that begin and end the transfer of an image.
func (e *emitter) transfer(kind EventType, name string, fn func() error) error {
	e.emit(Event{Type: kind, Name: name, State: StateStarted})
	err := fn()
	state := StateDone
	if err != nil {
		state = StateFailed
	}
	e.emit(Event{Type: kind, Name: name, State: state})
	return err
}

// whole is target itself, or for an index that lacks some of its images, the manifest of the one that fits best.
func (b *Builder) whole(ctx context.Context, target ocispec.Descriptor) (ocispec.Descriptor, error) {
	complete, err := b.complete(ctx, target, maxNesting)
	if err != nil || complete {
		return target, err
	}
	return b.localManifest(ctx, target)
}

// complete reports whether all manifests of desc are in the store.
func (b *Builder) complete(ctx context.Context, desc ocispec.Descriptor, depth int) (bool, error) {
	_, err := b.store.Content().Info(ctx, desc.Digest)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil || !images.IsIndexType(desc.MediaType) {
		return err == nil, err
	}
	if depth == 0 {
		return false, nestedTooDeep(desc)
	}
	entries, err := images.Children(ctx, b.store.Content(), desc)
	if err != nil {
		return false, fmt.Errorf("read index %s: %w", desc.Digest, err)
	}
	for _, entry := range entries {
		if ok, err := b.complete(ctx, entry, depth-1); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Load puts the images of an archive into the store, unpacks them and then gives them their names: archives of docker
// save, old and new, and OCI layouts, plain or compressed. An image without a name is known by its digest.
func (b *Builder) Load(ctx context.Context, r io.Reader) ([]ImageInfo, error) {
	var loaded []ImageInfo
	err := b.withLease(ctx, func(ctx context.Context) error {
		list, err := export.LoadArchive(ctx, b.store.Content(), r)
		if err != nil {
			return err
		}
		for _, img := range list {
			infos, err := b.adopt(ctx, img)
			if err != nil {
				return err
			}
			loaded = append(loaded, infos...)
		}
		return nil
	})
	return loaded, err
}

// adopt unpacks an image that was read from a file, which shows that its layers are what it says, and names it.
func (b *Builder) adopt(ctx context.Context, img export.Image) ([]ImageInfo, error) {
	manifest, err := b.localManifest(ctx, img.Manifest)
	if err == nil {
		_, err = b.store.Unpack(ctx, manifest, nil, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("load image %s: %w", img.Manifest.Digest, err)
	}
	names := img.Names
	if len(names) == 0 {
		names = []string{untagged(img.Manifest.Digest)}
	}
	var infos []ImageInfo
	for _, name := range names {
		if err := b.putImage(ctx, name, img.Manifest); err != nil {
			return infos, err
		}
		infos = append(infos, b.info(ctx, images.Image{Name: name, Target: img.Manifest}))
	}
	return infos, nil
}

// Save writes images into one archive, an OCI layout that docker load reads, too. An image that a name stands for keeps
// that name in the archive; one that a digest stands for keeps all of its names.
func (b *Builder) Save(ctx context.Context, w io.Writer, refs []string) error {
	return b.withLease(ctx, func(ctx context.Context) error {
		var list []export.Image
		for _, ref := range refs {
			records, err := b.find(ctx, ref)
			if err != nil {
				return err
			}
			list = addRecords(list, records)
		}
		return export.Docker(ctx, b.store.Content(), w, list)
	})
}

// addRecords adds names to the images that are in list, and adds the other images.
func addRecords(list []export.Image, records []images.Image) []export.Image {
	for _, record := range records {
		i := indexOf(list, record)
		if i == len(list) {
			list = append(list, export.Image{Manifest: record.Target})
		}
		if !isUntagged(record.Name) {
			list[i].Names = append(list[i].Names, record.Name)
		}
	}
	return list
}

func indexOf(list []export.Image, record images.Image) int {
	for i, img := range list {
		if img.Manifest.Digest == record.Target.Digest {
			return i
		}
	}
	return len(list)
}
