package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// layers unpacks the layers of one image for containerd's unpacker, each into a directory of the lease and all at once.
// The order comes back when they are committed, from the bottom up: only then a layer learns what it stands on, and only
// then a database learns of it.
type layers struct {
	*namedSnapshotter

	lease   *Lease
	diffIDs map[digest.Digest]digest.Digest // by the layer's digest

	mu     sync.Mutex
	staged map[string]*staged // by the unpacker's key

	telling  sync.Mutex // one call of progress at a time
	progress func(layer digest.Digest, current, total int64, done bool)
}

// staged is a layer on its way.
type staged struct {
	dir     string        // holds upper
	blob    digest.Digest // set when it is unpacked
	implied []string      // directories that its tar has no entry for, set when it is unpacked
	synced  bool          // it was on disk as it was unpacked
}

func (l *staged) upper() string { return filepath.Join(l.dir, "fs") }

func newLayers(s *Store, lease *Lease, image image) *layers {
	l := &layers{namedSnapshotter: s.tree, lease: lease, diffIDs: map[digest.Digest]digest.Digest{}, staged: map[string]*staged{}}
	for i, layer := range image.layers {
		l.diffIDs[layer.Digest] = image.diffIDs[i]
	}
	return l
}

// Prepare makes the directory of a layer, unless the snapshot that it is to become is there: then that is kept, and the
// error is errdefs.ErrAlreadyExists. The mount is only to say which directory it is.
func (l *layers) Prepare(ctx context.Context, key, _ string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	info, err := infoOf(opts)
	if err != nil {
		return nil, err
	}
	target := info.Labels[snapshots.LabelSnapshotRef]
	err = l.store.addToLease(ctx, target)
	if err == nil {
		return nil, fmt.Errorf("snapshot %s: %w", target, errdefs.ErrAlreadyExists)
	}
	if !errdefs.IsNotFound(err) {
		return nil, err
	}
	s := &staged{}
	if s.dir, err = l.lease.directory("trees"); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Mkdir(s.upper(), 0o700), copyMetadata(s.upper(), "")); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.staged[key] = s
	return []mount.Mount{{Type: "bind", Source: s.upper(), Options: []string{"rw", "rbind"}}}, nil
}

func infoOf(opts []snapshots.Opt) (info snapshots.Info, err error) {
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return info, err
		}
	}
	return info, nil
}

// Remove removes a layer that is not committed.
func (l *layers) Remove(_ context.Context, key string) error {
	l.mu.Lock()
	s := l.staged[key]
	delete(l.staged, key)
	l.mu.Unlock()
	if s == nil {
		return errdefs.ErrNotFound
	}
	return l.store.discard(s.dir)
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
	if err == nil {
		err = compareDiffIDs(diffID, l.diffIDs[desc.Digest])
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
	// Not before its blob is there, so that no layer waits for one that is still fetched.
	if err := l.store.unpacks.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer l.store.unpacks.Release(1)
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
	u := newUntar(upper, mounts[0].Type == "bind", l.store.opaqueXattr())
	counted := l.countBytes(desc, content.NewReader(blob))
	diffID, err := u.unpack(ctx, counted)
	if err != nil {
		return "", err
	}
	counted.finish()
	l.applied(upper, desc.Digest, u.impliedDirs())
	return diffID, nil
}

func (l *layers) applied(upper string, blob digest.Digest, implied []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.staged {
		if s.upper() == upper {
			s.blob, s.implied = blob, implied
		}
	}
}

// Commit freezes a layer. Directories that its tar only implies get the metadata that they have in the layers below;
// overlayfs would show those of the upper directory.
func (l *layers) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	l.mu.Lock()
	s := l.staged[key]
	l.mu.Unlock()
	if s == nil {
		return errdefs.ErrNotFound
	}
	info, err := infoOf(opts)
	if err != nil {
		return err
	}
	touched, err := l.copyImpliedMetadata(ctx, s, info.Parent)
	if err != nil {
		return fmt.Errorf("layer %s: %w", name, err)
	}
	tree, err := l.syncLayer(ctx, s, touched)
	if err != nil {
		return err
	}
	err = l.store.transact(ctx, func(ctx context.Context, _ *bolt.Tx) error {
		if err := l.store.addSnapshot(ctx, name, info.Parent, tree, snapshots.WithLabels(info.Labels)); err != nil {
			return err
		}
		// The unpacker sets it again and finds it there, which costs nothing.
		return l.store.addLabels(ctx, s.blob, map[string]string{labels.LabelUncompressed: l.diffIDs[s.blob].String()})
	})
	if err != nil {
		return err
	}
	return l.Remove(ctx, key)
}

// syncLayer puts a layer on disk, of which some directories were touched since it was unpacked.
func (l *layers) syncLayer(ctx context.Context, s *staged, touched []string) (*newTree, error) {
	t, err := measureTree(ctx, s.upper())
	if err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	if s.synced && len(touched) <= fewPaths {
		t.paths, t.many = touched, false
	}
	if t.many {
		err = l.syncAll()
	} else {
		err = t.sync()
	}
	return &newTree{upper: s.upper(), usage: t.usage}, err
}

// syncAll syncs the file system, once for all layers that are unpacked when it begins.
func (l *layers) syncAll() error {
	l.mu.Lock()
	var done []*staged
	for _, s := range l.staged {
		if s.blob != "" {
			done = append(done, s)
		}
	}
	l.mu.Unlock()
	if err := l.store.sync(); err != nil {
		return err
	}
	for _, s := range done { // layers are committed one after the other, and nobody else reads this
		s.synced = true
	}
	return nil
}

// copyImpliedMetadata returns the directories that it changed.
func (l *layers) copyImpliedMetadata(ctx context.Context, s *staged, parent string) (touched []string, err error) {
	var below []string
	if parent != "" {
		if below, err = l.store.stack(ctx, parent); err != nil {
			return nil, err
		}
	}
	xattr := l.store.opaqueXattr()
	for _, dir := range s.implied {
		to, err := findDir([]string{s.upper()}, dir, xattr) // follows no link: it may lead out of the layer
		if err != nil {
			return nil, err
		}
		if to == "" {
			continue // a link or file of the layer took its place
		}
		from, err := findDir(below, dir, xattr)
		if err != nil {
			return nil, err
		}
		if err := copyMetadata(to, from); err != nil {
			return nil, err
		}
		touched = append(touched, to)
	}
	return touched, nil
}
