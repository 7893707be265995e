package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layers unpacks the layers of one image for containerd's unpacker, each into a directory of its own and all at once.
// The order comes back when they are committed, from the bottom up: only then a layer learns what it stands on.
type layers struct {
	*tree

	diffIDs map[digest.Digest]digest.Digest // by the layer's digest

	mu      sync.Mutex
	implied map[string][]string // upper directory to the directories in it that its tar has no entry for
}

func newLayers(s *Store, image image) *layers {
	l := &layers{tree: s.tree, diffIDs: map[digest.Digest]digest.Digest{}, implied: map[string][]string{}}
	for i, layer := range image.layers {
		l.diffIDs[layer.Digest] = image.diffIDs[i]
	}
	return l
}

// layerError is why a layer could not be unpacked, without the unpacker's words around it.
type layerError struct {
	layer digest.Digest
	err   error
}

func (e *layerError) Error() string { return fmt.Sprintf("layer %s: %v", e.layer, e.err) }
func (e *layerError) Unwrap() error { return e.err }

// Apply unpacks one layer and returns its diff-id. The error is a *layerError.
func (l *layers) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, _ ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	diffID, err := l.apply(ctx, desc, mounts)
	if want := l.diffIDs[desc.Digest]; err == nil && diffID != want {
		err = fmt.Errorf("its tar has the diff-id %s, not %s as the config says", diffID, want)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it is cut off: %w", err)
	}
	if err != nil {
		return ocispec.Descriptor{}, &layerError{desc.Digest, err}
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID}, nil
}

func (l *layers) apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount) (_ digest.Digest, err error) {
	upper, err := upperOf(mounts)
	if err != nil {
		return "", err
	}
	blob, err := l.store.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return "", err
	}
	defer closeInto(&err, blob)

	// The unpacker gives the bottom layer a bind mount and the others an overlay.
	u := newUntar(upper, mounts[0].Type == "bind")
	diffID, err := u.unpack(ctx, content.NewReader(blob))
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.implied[upper] = u.impliedDirs()
	return diffID, nil
}

// Commit freezes a layer. Directories that its tar only implies get the metadata that they have in the layers below;
// overlayfs would show those of the upper directory.
func (l *layers) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	var info snapshots.Info
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return err
		}
	}
	mounts, err := l.Mounts(ctx, key)
	if err != nil {
		return err
	}
	upper, err := upperOf(mounts)
	if err != nil {
		return err
	}
	var below []string
	if info.Parent != "" {
		if below, err = l.store.stack(ctx, info.Parent); err != nil {
			return err
		}
	}
	if err := l.inheritImplied(upper, below); err != nil {
		return fmt.Errorf("layer %s: %w", name, err)
	}
	return l.tree.Commit(ctx, name, key, opts...)
}

func (l *layers) inheritImplied(upper string, below []string) error {
	l.mu.Lock()
	implied := l.implied[upper]
	l.mu.Unlock()
	for _, dir := range implied {
		to := filepath.Join(upper, dir)
		if !isDir(to) {
			continue // a link or file of the layer took its place
		}
		from, err := lookup(below, dir)
		if err != nil {
			return err
		}
		if err := inherit(to, from); err != nil {
			return err
		}
	}
	return nil
}
