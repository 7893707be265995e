// Package image reads and writes what describes an image: indexes, manifests, configs and names.
package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxNesting is how many indexes may stand between a name and its manifest.
const maxNesting = 4

// Options says which manifests of an index count. The zero value takes all of them.
type Options struct {
	Stored bool // only those that the store has whole: a pull brings in one of an index
}

// PlatformError says that an index has no image for the platform that was asked for. It is a "not found".
type PlatformError struct {
	Available []string // platforms that the index has, in its order
}

func (e *PlatformError) Error() string {
	if len(e.Available) == 0 {
		return "no image for the platform, and none for any other"
	}
	return "no image for the platform; there are " + strings.Join(e.Available, ", ")
}

// Unwrap makes it a "not found".
func (e *PlatformError) Unwrap() error { return errdefs.ErrNotFound }

// Manifest gives the manifest that target stands for: itself, whatever its platform, or of an index the one that fits
// the platform best. An entry without a platform fits any, but less well; attestations fit none. Of entries that fit
// equally the first is taken. Where nothing fits, the error is a *PlatformError.
func Manifest(ctx context.Context, store content.Provider, target ocispec.Descriptor, platform platforms.MatchComparer, opts Options) (ocispec.Descriptor, error) {
	for range maxNesting + 1 {
		if !images.IsIndexType(target.MediaType) {
			return target, nil
		}
		entries, err := indexEntries(ctx, store, target, opts)
		if err != nil {
			return target, err
		}
		if target, err = best(entries, platform); err != nil {
			return target, err
		}
	}
	return target, nestedTooDeep(target)
}

func nestedTooDeep(index ocispec.Descriptor) error {
	return fmt.Errorf("index %s: more than %d indexes within each other", index.Digest, maxNesting)
}

// indexEntries are the images of an index that count.
func indexEntries(ctx context.Context, store content.Provider, index ocispec.Descriptor, opts Options) ([]ocispec.Descriptor, error) {
	all, err := readIndex(ctx, store, index)
	if err != nil {
		return nil, err
	}
	entries := slices.DeleteFunc(all, func(entry ocispec.Descriptor) bool { return !isImage(entry) })
	if !opts.Stored {
		return entries, nil
	}
	var stored []ocispec.Descriptor
	for _, entry := range entries {
		ok, err := Stored(ctx, store, entry)
		if err != nil {
			return nil, err
		}
		if ok {
			stored = append(stored, entry)
		}
	}
	if len(stored) == 0 {
		return nil, fmt.Errorf("index %s: none of its manifests is in the store: %w", index.Digest, errdefs.ErrNotFound)
	}
	return stored, nil
}

// readIndex gives all entries of an index. It refuses one that could also be read as a manifest.
func readIndex(ctx context.Context, store content.Provider, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var index struct {
		ocispec.Index
		Config, Layers json.RawMessage
	}
	if err := ReadJSON(ctx, store, desc, &index); err != nil {
		return nil, err
	}
	if len(index.Config) > 0 || len(index.Layers) > 0 || images.IsManifestType(index.MediaType) {
		return nil, fmt.Errorf("%s is listed as an index and is a manifest", desc.Digest)
	}
	return index.Manifests, nil
}

// isImage says whether an entry of an index is a manifest or an index, and not an attestation.
func isImage(entry ocispec.Descriptor) bool {
	if !images.IsManifestType(entry.MediaType) && !images.IsIndexType(entry.MediaType) {
		return false
	}
	return !images.IsAttestationType(entry.ArtifactType) && (entry.Platform == nil || entry.Platform.OS != "unknown")
}

// Stored says whether the store has an entry of an index, and for a manifest also its config and layers: of an image that
// nobody needed, only the description is here.
func Stored(ctx context.Context, store content.Provider, entry ocispec.Descriptor) (bool, error) {
	ok, err := hasBlob(ctx, store, entry)
	if err != nil || !ok || !images.IsManifestType(entry.MediaType) {
		return ok, err
	}
	var m ocispec.Manifest
	if ReadJSON(ctx, store, entry, &m) != nil {
		return true, nil //nolint:nilerr // whoever reads it says what is wrong
	}
	for _, part := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if part.Digest == "" {
			continue
		}
		if ok, err := hasBlob(ctx, store, part); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func hasBlob(ctx context.Context, store content.Provider, desc ocispec.Descriptor) (bool, error) {
	blob, err := store.ReaderAt(ctx, desc)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, blob.Close()
}

// best is the entry that fits the platform best.
func best(entries []ocispec.Descriptor, platform platforms.MatchComparer) (ocispec.Descriptor, error) {
	fit := slices.DeleteFunc(slices.Clone(entries), func(entry ocispec.Descriptor) bool {
		return entry.Platform != nil && !platform.Match(*entry.Platform)
	})
	if len(fit) == 0 {
		return ocispec.Descriptor{}, &PlatformError{Available: platformsOf(entries)}
	}
	return slices.MinFunc(fit, func(x, y ocispec.Descriptor) int { return compare(x, y, platform) }), nil
}

// compare orders entries by how well they fit.
func compare(x, y ocispec.Descriptor, platform platforms.MatchComparer) int {
	switch {
	case x.Platform == nil && y.Platform == nil:
		return 0
	case x.Platform == nil:
		return 1
	case y.Platform == nil:
		return -1
	case platform.Less(*x.Platform, *y.Platform):
		return -1
	case platform.Less(*y.Platform, *x.Platform):
		return 1
	}
	return 0
}

func platformsOf(entries []ocispec.Descriptor) (names []string) {
	for _, entry := range entries {
		if entry.Platform != nil {
			names = append(names, platforms.Format(*entry.Platform))
		}
	}
	return names
}

// Prefer matches every platform, and finds those best that platform does.
func Prefer(platform platforms.MatchComparer) platforms.MatchComparer { return preferred{platform} }

type preferred struct{ platforms.MatchComparer }

func (preferred) Match(ocispec.Platform) bool { return true }

// Complete says whether the store has all manifests that desc stands for, with their configs and layers.
func Complete(ctx context.Context, store content.Provider, desc ocispec.Descriptor) (bool, error) {
	return complete(ctx, store, desc, maxNesting)
}

func complete(ctx context.Context, store content.Provider, desc ocispec.Descriptor, depth int) (bool, error) {
	ok, err := Stored(ctx, store, desc)
	if err != nil || !ok || !images.IsIndexType(desc.MediaType) {
		return ok, err
	}
	if depth == 0 {
		return false, nestedTooDeep(desc)
	}
	entries, err := readIndex(ctx, store, desc)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		if ok, err := complete(ctx, store, entry, depth-1); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
