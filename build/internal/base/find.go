package base

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/event"
	"github.com/lbuild/lbuild/build/internal/export"
	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/once"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/snapshot"
)

// Finder finds the images of one build. It may be used from several goroutines.
type Finder struct {
	Store  *snapshot.Store
	Remote *remote.Client
	Events *event.Emitter
	Pull   bool // ask the registry, also for tags that the image store has

	found  once.Map[string, *Image]
	layers sync.Map // foundLayer by digest
	mu     sync.Mutex
	pulled []*Image // those that have no name in the image store yet
}

// Find gives the image of a reference or address for a platform in full. It is found once.
func (f *Finder) Find(ctx context.Context, ref, platform string) (*Image, error) {
	p, err := platforms.Parse(platform)
	if err != nil {
		return nil, fmt.Errorf("platform %s: %w", platform, err)
	}
	return f.found.Do(ref+" "+platform, func() (*Image, error) {
		img, err := f.find(ctx, ref, platforms.Only(platforms.Normalize(p)))
		if err != nil {
			return nil, err
		}
		return img, img.read(ctx, f, ref)
	})
}

// End ends the events of pulls that nobody needed the layers of: with Done, or with Canceled where the build failed.
func (f *Finder) End(state event.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, img := range f.pulled {
		img.endPull(state)
	}
}

func (f *Finder) find(ctx context.Context, ref string, platform platforms.MatchComparer) (*Image, error) {
	scheme, rest, ok := strings.Cut(ref, "://")
	switch {
	case ok && scheme == "docker-image":
		ref = rest
	case ok && scheme == "oci-layout":
		return f.fromLayout(ctx, rest, platform)
	case ok && scheme == "docker-archive":
		return f.fromArchive(ctx, rest, platform)
	case ok:
		return nil, fmt.Errorf("unknown kind of image %q, want docker-image://, oci-layout:// or docker-archive://", scheme+"://")
	}
	named, err := remote.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	return f.fromName(ctx, reference.TagNameOnly(named), platform)
}

// fromName takes what is known here of a name, and else asks the registry.
func (f *Finder) fromName(ctx context.Context, named reference.Named, platform platforms.MatchComparer) (*Image, error) {
	var damage error
	if !f.Pull {
		img, err := f.fromHere(ctx, named, platform)
		if !errdefs.IsNotFound(err) && !errdefs.IsDataLoss(err) {
			return img, err
		}
		if errdefs.IsDataLoss(err) {
			damage = err // of interest only where the registry cannot make it good
		}
	}
	img, err := f.fromRegistry(ctx, named, platform)
	if err != nil {
		return nil, errors.Join(err, damage)
	}
	return img, nil
}

// fromHere takes the image that has a name here, or else what a registry said of it; only that where it said so later.
func (f *Finder) fromHere(ctx context.Context, named reference.Named, platform platforms.MatchComparer) (*Image, error) {
	later, err := f.saidLater(ctx, named)
	if err != nil {
		return nil, err
	}
	if !later {
		img, err := f.fromStore(ctx, named, platform)
		if !errdefs.IsNotFound(err) {
			return img, err
		}
	}
	return f.fromRemembered(ctx, named, platform)
}

// fromStore takes an image that has a name here. It is not found when the store lacks the name or the platform, and the
// error is one of lost data when the bytes that describe it have changed.
func (f *Finder) fromStore(ctx context.Context, named reference.Named, platform platforms.MatchComparer) (*Image, error) {
	record, err := f.Store.Images().Get(ctx, named.String())
	if err != nil {
		return nil, err
	}
	return f.described(ctx, named, record.Target, platform)
}

// described is the image of a target whose description the store has.
func (f *Finder) described(ctx context.Context, named reference.Named, target ocispec.Descriptor, platform platforms.MatchComparer) (*Image, error) {
	manifest, err := f.verifiedManifest(ctx, target, platform)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", named, err)
	}
	return &Image{Name: named.String(), Target: target, Manifest: manifest, fetcher: f.lazyFetcher(named)}, nil
}

// verifiedManifest gives the manifest of target for a platform, after comparing it and its config with their digests.
// Layers are compared when they are unpacked.
func (f *Finder) verifiedManifest(ctx context.Context, target ocispec.Descriptor, platform platforms.MatchComparer) (ocispec.Descriptor, error) {
	if err := f.Store.VerifyBlob(ctx, target); err != nil {
		return target, err
	}
	desc, err := image.Manifest(ctx, f.Store.Content(), target, platform, image.Options{})
	if err != nil {
		return target, err
	}
	if err := f.Store.VerifyBlob(ctx, desc); err != nil {
		return target, err
	}
	var manifest ocispec.Manifest
	if err := image.ReadJSON(ctx, f.Store.Content(), desc, &manifest); err != nil {
		return target, err
	}
	return desc, f.Store.VerifyBlob(ctx, manifest.Config)
}

// fromRegistry asks the registry of the name.
func (f *Finder) fromRegistry(ctx context.Context, named reference.Named, platform platforms.MatchComparer) (*Image, error) {
	f.Events.Emit(event.Event{Type: event.Pull, Name: named.String(), State: event.Started})
	img := &Image{Name: named.String(), pulled: named, events: f.Events}
	pulled, err := f.Remote.PullManifest(ctx, f.Store.Content(), named, platform)
	if err == nil {
		img.Target, img.Manifest = pulled.Target, pulled.Manifest
		err = f.remember(ctx, named, pulled)
	}
	if err != nil {
		img.endPull(event.Outcome(ctx, err))
		return nil, err
	}
	img.fetcher = f.lazyFetcher(named)
	f.addPulled(img)
	return img, nil
}

func (f *Finder) addPulled(img *Image) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulled = append(f.pulled, img)
}

// pulledLike lists the images that were pulled and are the same but for their name.
func (f *Finder) pulledLike(img *Image) []*Image {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.pulled), func(other *Image) bool { return other.Manifest.Digest != img.Manifest.Digest })
}

// lazyFetcher asks the registry of a name only when something is fetched, and tells how far that is.
func (f *Finder) lazyFetcher(named reference.Named) remotes.Fetcher {
	progress := func(at remote.Progress) {
		f.Events.Emit(event.Event{
			Type: event.Pull, Name: named.String(), Digest: string(at.Digest), State: event.State(at.State), Current: at.Current, Total: at.Total,
		})
	}
	return remote.ReportingFetcher(remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		fetcher, err := f.Remote.Fetcher(ctx, named)
		if err != nil {
			return nil, err
		}
		return fetcher.Fetch(ctx, desc)
	}), progress)
}

// fromLayout takes an image of an OCI layout: DIR, DIR:TAG or DIR@DIGEST.
func (f *Finder) fromLayout(ctx context.Context, ref string, platform platforms.MatchComparer) (*Image, error) {
	dir, selector := cutSelector(ref)
	target, err := export.LoadLayout(ctx, f.importing("oci-layout://"+ref), dir, selector)
	if err != nil {
		return nil, err
	}
	manifest, err := image.Manifest(ctx, f.Store.Content(), target, platform, image.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return &Image{Target: target, Manifest: manifest}, nil
}

// cutSelector splits the tag or digest off an OCI layout's path. A colon or an at sign inside a directory's name belongs
// to the path.
func cutSelector(ref string) (dir, selector string) {
	if i := strings.LastIndexByte(ref, '@'); i >= 0 && !strings.ContainsRune(ref[i:], filepath.Separator) {
		return ref[:i], ref[i:]
	}
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.ContainsRune(ref[i:], filepath.Separator) {
		return ref, ""
	}
	return ref[:i], ref[i+1:]
}

// fromArchive takes the only image of an archive that docker save or lbuild save wrote.
func (f *Finder) fromArchive(ctx context.Context, path string, platform platforms.MatchComparer) (_ *Image, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	list, err := export.LoadArchive(ctx, f.importing("docker-archive://"+path), file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s holds %d images, want one", path, len(list))
	}
	manifest, err := image.Manifest(ctx, f.Store.Content(), list[0].Manifest, platform, image.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Image{Target: list[0].Manifest, Manifest: manifest}, nil
}
