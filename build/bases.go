package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/lbuild/lbuild/build/internal/export"
	imagedata "github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/plan"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/snapshot"
)

// baseImage is an image that a stage starts from, or that COPY --from reads.
type baseImage struct {
	name     string             // full reference; "" for images that came from a file
	target   ocispec.Descriptor // what the name stands for: an index or a manifest
	manifest ocispec.Descriptor // for one platform
	config   dockerspec.DockerOCIImage
	layers   []ocispec.Descriptor
	fetcher  remotes.Fetcher // of layers that the store lacks; nil: it has all
	pulled   reference.Named // set where the answer of a registry is new to the image store

	naming  sync.Once // of what was pulled
	nameErr error
}

// resolve finds the images that stages start from, side by side, and puts their triggers into the plan. Triggers may
// bring stages in that nothing needed before, so it goes on until there is no new one.
func (s *session) resolve(ctx context.Context) error {
	for done := 0; done < len(s.plan.Stages); {
		first, last := done, len(s.plan.Stages)
		done = last
		group, ctx := errgroup.WithContext(ctx)
		for i := first; i < last; i++ {
			st := s.plan.Stages[i] // a copy: AddTriggers replaces the stages
			group.Go(func() error {
				_, err := s.base(ctx, &st)
				return s.file.At(st.Location, st.Base.Name, err)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i := first; i < last; i++ {
			if err := s.addTriggers(ctx, i); err != nil {
				return err
			}
		}
	}
	for _, w := range s.plan.Warnings {
		s.warn(w.Line, w.Text)
	}
	for _, name := range s.plan.Unused() {
		s.warn(0, fmt.Sprintf("build argument %s is not used", name))
	}
	for _, name := range s.unknownStages() {
		s.warn(0, fmt.Sprintf("there is no stage %s to run without the cache", name))
	}
	return nil
}

// addTriggers puts the ONBUILD triggers of a stage's image before the stage's instructions.
func (s *session) addTriggers(ctx context.Context, i int) error {
	st := &s.plan.Stages[i]
	img, err := s.base(ctx, st)
	if err != nil || img == nil || len(img.config.Config.OnBuild) == 0 {
		return err
	}
	cmds, err := s.file.Triggers(&s.file.Stages[st.Index], "image "+st.Base.Name, img.config.Config.OnBuild)
	if err != nil {
		return err
	}
	return s.plan.AddTriggers(i, cmds)
}

// base gives the image that a stage starts from; nil where it starts from something else.
func (s *session) base(ctx context.Context, st *plan.Stage) (*baseImage, error) {
	ref, ok := s.imageRef(st.Base)
	if !ok {
		return nil, nil
	}
	return s.image(ctx, ref, st.Platform)
}

// imageRef is the reference or address of the image that a FROM or COPY --from names. ok is false for the rest.
func (s *session) imageRef(b plan.Base) (ref string, ok bool) {
	switch b.Kind {
	case plan.Image:
		return b.Name, true
	case plan.Context:
		address := s.req.Contexts[b.Name]
		return address, strings.Contains(address, "://")
	}
	return "", false
}

// image gives the image that a FROM or COPY --from names, from a named context, the image store or a registry.
func (s *session) image(ctx context.Context, ref string, platform ocispec.Platform) (*baseImage, error) {
	return s.images.do(ref+" "+platforms.Format(platform), func() (*baseImage, error) {
		img, err := s.findImage(ctx, ref, platforms.Only(platform))
		if err != nil {
			return nil, err
		}
		return img, img.read(ctx, s.store.Content())
	})
}

func (s *session) findImage(ctx context.Context, ref string, platform platforms.MatchComparer) (*baseImage, error) {
	scheme, rest, ok := strings.Cut(ref, "://")
	switch {
	case ok && scheme == "docker-image":
		ref = rest
	case ok && scheme == "oci-layout":
		return s.fromLayout(ctx, rest, platform)
	case ok && scheme == "docker-archive":
		return s.fromArchive(ctx, rest, platform)
	case ok:
		return nil, fmt.Errorf("unknown kind of image %q, want docker-image://, oci-layout:// or docker-archive://", scheme+"://")
	}
	named, err := remote.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	var damage error
	if !s.req.Pull {
		img, err := s.fromStore(ctx, named, platform)
		if !errdefs.IsNotFound(err) && !errdefs.IsDataLoss(err) {
			return img, err
		}
		if errdefs.IsDataLoss(err) {
			damage = err // of interest only where the registry cannot make it good
		}
	}
	img, err := s.fromRegistry(ctx, named, platform)
	if err != nil {
		return nil, errors.Join(err, damage)
	}
	return img, nil
}

// fromStore takes an image that has a name here. It is not found when the store lacks the name or the platform, and the
// error is one of lost data when the bytes that describe it have changed.
func (s *session) fromStore(ctx context.Context, named reference.Named, platform platforms.MatchComparer) (*baseImage, error) {
	name := reference.TagNameOnly(named).String()
	record, err := s.store.Images().Get(ctx, name)
	if err != nil {
		return nil, err
	}
	manifest, err := s.verifiedManifest(ctx, record.Target, platform)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &baseImage{name: name, target: record.Target, manifest: manifest, fetcher: s.lazyFetcher(named)}, nil
}

// verifiedManifest gives the manifest of target for a platform, after comparing it and its config with their digests.
// Layers are compared when they are unpacked.
func (s *session) verifiedManifest(ctx context.Context, target ocispec.Descriptor, platform platforms.MatchComparer) (ocispec.Descriptor, error) {
	if err := s.store.VerifyBlob(ctx, target); err != nil {
		return target, err
	}
	desc, err := imagedata.Manifest(ctx, s.store.Content(), target, platform, imagedata.Options{})
	if err != nil {
		return target, err
	}
	if err := s.store.VerifyBlob(ctx, desc); err != nil {
		return target, err
	}
	var manifest ocispec.Manifest
	if err := imagedata.ReadJSON(ctx, s.store.Content(), desc, &manifest); err != nil {
		return target, err
	}
	return desc, s.store.VerifyBlob(ctx, manifest.Config)
}

// fromRegistry asks the registry of the name.
func (s *session) fromRegistry(ctx context.Context, named reference.Named, platform platforms.MatchComparer) (_ *baseImage, err error) {
	named = reference.TagNameOnly(named)
	s.events.Emit(Event{Type: EventPull, Name: named.String(), State: StateStarted})
	defer func() { s.pullFailed(named, err) }()
	pulled, err := s.remote.PullManifest(ctx, s.store.Content(), named, platform)
	if err != nil {
		return nil, err
	}
	fetcher, err := s.remote.Fetcher(ctx, named)
	if err != nil {
		return nil, err
	}
	return &baseImage{
		name: named.String(), target: pulled.Target, manifest: pulled.Manifest, pulled: named,
		fetcher: remote.ReportingFetcher(fetcher, func(at remote.Progress) { s.events.Emit(progressEvent(EventPull, named, at)) }),
	}, nil
}

// fromLayout takes an image of an OCI layout: DIR, DIR:TAG or DIR@DIGEST.
func (s *session) fromLayout(ctx context.Context, ref string, platform platforms.MatchComparer) (*baseImage, error) {
	dir, selector := cutSelector(ref)
	target, err := export.LoadLayout(ctx, s.store.Content(), dir, selector)
	if err != nil {
		return nil, err
	}
	manifest, err := imagedata.Manifest(ctx, s.store.Content(), target, platform, imagedata.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return &baseImage{target: target, manifest: manifest}, nil
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
func (s *session) fromArchive(ctx context.Context, path string, platform platforms.MatchComparer) (_ *baseImage, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	list, err := export.LoadArchive(ctx, s.store.Content(), f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s holds %d images, want one", path, len(list))
	}
	manifest, err := imagedata.Manifest(ctx, s.store.Content(), list[0].Manifest, platform, imagedata.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &baseImage{target: list[0].Manifest, manifest: manifest}, nil
}

// read loads the config and the list of layers.
func (b *baseImage) read(ctx context.Context, store content.Store) error {
	img, err := imagedata.Read(ctx, store, b.manifest)
	if err != nil {
		return err
	}
	b.config, b.layers = img.Image, img.Layers
	return nil
}

// lazyFetcher asks the registry of a name only when something is fetched: an image in the store usually is whole.
func (s *session) lazyFetcher(named reference.Named) remotes.Fetcher {
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		f, err := s.remote.Fetcher(ctx, named)
		if err != nil {
			return nil, err
		}
		return f.Fetch(ctx, desc)
	})
}

// unpacked gives the snapshot of an image's tree, once for each image. An image that was pulled has its name in the
// image store from then on: no sooner, so that a name never stands for half an image.
func (s *session) unpacked(ctx context.Context, img *baseImage) (string, error) {
	name, err := s.trunks.do(img.manifest.Digest, func() (string, error) {
		name, err := s.store.Unpack(ctx, img.manifest, img.fetcher, snapshot.UnpackOptions{})
		return name, remote.Cause(err)
	})
	if img.pulled == nil {
		return name, err
	}
	if err != nil {
		s.pullFailed(img.pulled, err)
		return "", err
	}
	img.naming.Do(func() { img.nameErr = s.namePulled(ctx, img) }) // two names may stand for one manifest
	return name, img.nameErr
}

func (s *session) namePulled(ctx context.Context, img *baseImage) error {
	if err := remote.MarkSource(ctx, s.store.Content(), img.pulled, img.layers...); err != nil {
		return err
	}
	s.events.Emit(Event{Type: EventPull, Name: img.name, State: StateDone})
	return imagedata.SetName(ctx, s.store.Images(), img.name, img.target)
}

// pullFailed ends the events of a pull that an error ended.
func (s *session) pullFailed(named reference.Named, err error) {
	if err != nil {
		s.events.Emit(Event{Type: EventPull, Name: named.String(), State: StateFailed})
	}
}
