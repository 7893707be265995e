package base

import (
	"context"
	"encoding/json"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lbuild/lbuild/build/internal/image"
	"github.com/lbuild/lbuild/build/internal/remote"
	"github.com/lbuild/lbuild/snapshot"
)

// remembered is what a registry said of a name: a reference that is no image, because nobody has needed its layers. It keeps
// what describes the image. Like a name of the image store it counts until the registry is to be asked again.
type remembered struct {
	Target    ocispec.Descriptor `json:"target"`
	Manifests []digest.Digest    `json:"manifests"` // one for each platform that was asked for
}

func referenceKey(named reference.Named) string { return image.ReferenceKey(named.String()) }

// remember keeps what a registry said, beside what it said of other platforms of the same index.
func (f *Finder) remember(ctx context.Context, named reference.Named, pulled remote.Image) error {
	img, err := image.Read(ctx, f.Store.Content(), pulled.Manifest)
	if err != nil {
		return err
	}
	return f.Store.UpdateRecord(ctx, referenceKey(named), func(old snapshot.Record, found bool) (snapshot.Record, error) {
		var m remembered
		if !found || json.Unmarshal(old.Data, &m) != nil || m.Target.Digest != pulled.Target.Digest {
			old, m = snapshot.Record{Blobs: []digest.Digest{pulled.Target.Digest}}, remembered{Target: pulled.Target}
		}
		old.Created = time.Time{} // now
		m.Manifests = appendNew(m.Manifests, pulled.Manifest.Digest)
		old.Blobs = appendNew(old.Blobs, pulled.Manifest.Digest, img.Config.Digest)
		var err error
		old.Data, err = json.Marshal(m)
		return old, err
	})
}

func appendNew(list []digest.Digest, digests ...digest.Digest) []digest.Digest {
	seen := map[digest.Digest]bool{}
	for _, d := range list {
		seen[d] = true
	}
	for _, d := range digests {
		if !seen[d] {
			seen[d] = true
			list = append(list, d)
		}
	}
	return list
}

// saidLater tells whether a registry was asked for a name after an image got it here.
func (f *Finder) saidLater(ctx context.Context, named reference.Named) (bool, error) {
	said, err := f.Store.Record(ctx, referenceKey(named))
	if err != nil {
		return false, ignoreNotFound(err)
	}
	img, err := f.Store.Images().Get(ctx, named.String())
	if err != nil {
		return false, ignoreNotFound(err)
	}
	return said.Created.After(img.UpdatedAt), nil
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// fromRemembered takes what a registry said of a name before. It is not found where that is nothing of this platform.
func (f *Finder) fromRemembered(ctx context.Context, named reference.Named, platform platforms.MatchComparer) (*Image, error) {
	r, err := f.Store.Record(ctx, referenceKey(named))
	if err != nil {
		return nil, err
	}
	var m remembered
	if err := json.Unmarshal(r.Data, &m); err != nil {
		return nil, errdefs.ErrNotFound // another version wrote it
	}
	img, err := f.described(ctx, named, m.Target, platform)
	if err != nil {
		return nil, err
	}
	for _, d := range m.Manifests {
		if d == img.Manifest.Digest {
			img.pulled = named      // has no name yet
			img.ended.Do(func() {}) // nobody was told that it began
			f.addPulled(img)
			return img, nil
		}
	}
	return nil, errdefs.ErrNotFound
}
