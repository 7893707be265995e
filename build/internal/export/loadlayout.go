package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// LoadLayout brings one image of an OCI layout into store, compared with its digests, and returns its index or
// manifest. The selector is a tag, a full name or @DIGEST; empty it means the only image, or else the tag latest.
func LoadLayout(ctx context.Context, store content.Store, dir, selector string) (ocispec.Descriptor, error) {
	desc, err := loadLayout(ctx, store, dir, selector)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("oci layout %s: %w", dir, err)
	}
	return desc, nil
}

func loadLayout(ctx context.Context, store content.Store, dir, selector string) (desc ocispec.Descriptor, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return desc, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	index, err := readIndex(root)
	if errors.Is(err, fs.ErrNotExist) {
		return desc, errors.New("it has no index.json, so it is not an OCI layout")
	}
	if err != nil {
		return desc, err
	}
	if desc, err = choose(index, selector); err != nil {
		return desc, err
	}
	from := &layoutProvider{root}
	all, err := parts(ctx, from, desc)
	if err != nil {
		return desc, err
	}
	// Children come first: a manifest in the store promises them.
	slices.Reverse(all)
	for _, part := range all {
		if err := copyIn(ctx, store, from, part); err != nil {
			return desc, err
		}
	}
	return entries(Image{Manifest: desc})[0], complete(ctx, store, desc)
}

// choose returns the entry of an index that a selector means.
func choose(index ocispec.Index, selector string) (ocispec.Descriptor, error) {
	var fit []ocispec.Descriptor
	for _, entry := range index.Manifests {
		if isManifest(entry) && selects(selector, entry) {
			fit = append(fit, entry)
		}
	}
	same := slices.CompactFunc(fit, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
	switch {
	case len(same) == 1:
		return same[0], nil
	case len(same) == 0:
		return ocispec.Descriptor{}, errdefs.ErrNotFound.WithMessage(absent(index, selector))
	case selector == "":
		if latest, err := choose(index, "latest"); err == nil {
			return latest, nil
		}
		return ocispec.Descriptor{}, fmt.Errorf("it has several images, so name one: %s", tags(index))
	}
	return ocispec.Descriptor{}, fmt.Errorf("%s stands for several images; it has %s", selector, tags(index))
}

func selects(selector string, entry ocispec.Descriptor) bool {
	if dgst, ok := strings.CutPrefix(selector, "@"); ok {
		return entry.Digest == digest.Digest(dgst)
	}
	return selector == "" || entry.Annotations[ocispec.AnnotationRefName] == selector ||
		entry.Annotations[images.AnnotationImageName] == selector
}

// absent says what a layout lacks, and what it has instead.
func absent(index ocispec.Index, selector string) string {
	switch {
	case len(index.Manifests) == 0:
		return "it is empty"
	case selector == "":
		return "it has no image, only " + tags(index)
	}
	return fmt.Sprintf("it has no %q, only %s", strings.TrimPrefix(selector, "@"), tags(index))
}

// tags lists what can be selected.
func tags(index ocispec.Index) string {
	var all []string
	for _, entry := range index.Manifests {
		name := entry.Annotations[ocispec.AnnotationRefName]
		if name == "" {
			name = "@" + entry.Digest.String()
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

// copyIn brings one blob into the store. What was received stays only when it has its digest.
func copyIn(ctx context.Context, store content.Store, from content.Provider, desc ocispec.Descriptor) (err error) {
	ra, err := from.ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	defer func() { err = errors.Join(err, ra.Close()) }()
	ref := "layout-" + desc.Digest.String()
	bytes := &cancelable{ctx: ctx, r: io.NewSectionReader(ra, 0, desc.Size)}
	err = content.WriteBlob(ctx, store, ref, bytes, desc)
	if errdefs.IsFailedPrecondition(err) {
		// The next try must not go on from wrong bytes.
		abort := store.Abort(ctx, ref)
		if errdefs.IsNotFound(abort) {
			abort = nil
		}
		err = errors.Join(fmt.Errorf("blob %s is damaged: its bytes have another digest", desc.Digest), abort)
	}
	return err
}

// layoutProvider reads the blobs of a layout, none from outside its directory.
type layoutProvider struct{ root *os.Root }

func (p *layoutProvider) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", desc.Digest, err)
	}
	f, err := openRegular(p.root, blobPath(desc))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.ErrNotFound.WithMessage("its file is missing")
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != desc.Size {
		err = fmt.Errorf("its file has %d bytes, not %d", info.Size(), desc.Size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &blobFile{File: f, size: desc.Size}, nil
}

type blobFile struct {
	*os.File
	size int64
}

func (f *blobFile) Size() int64 { return f.size }
